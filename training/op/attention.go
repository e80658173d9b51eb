package op

import (
	"cmp"
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// AttentionOptions say which keys a query sees.
type AttentionOptions struct {
	Heads   int
	KVHeads int  // heads of keys and values, each shared by Heads/KVHeads query heads; 0 means Heads
	Causal  bool // query t sees the keys up to t + S - T
	// KeyLengths, int32 (B), hides each sequence's keys from that length on: padding.
	KeyLengths *graph.Node
	// Packed, int32 ends [0, n1, n1+n2, ...], separates sequences that share one row (B = 1).
	Packed *graph.Node
	Scale  float32 // 0 means 1/sqrt(D)
}

// Attention is softmax(scale q kᵀ + mask) v per head (Vaswani et al. 2017): q (B, T, H D), k and v (B, S, K D), result (B, T, H D).
//
// Method: the kernel's, block by block; the backward recomputes probabilities and reads the output. Saved: the logarithm of each row's sum of
// exponentials, (B, H, T).
func Attention(g *graph.Graph, q, k, v *graph.Node, o AttentionOptions) *graph.Node {
	return applyAttention(g, attentionParts{q: 0, k: 1, v: 2}, o, q, k, v)
}

// SelfAttention is Attention on the output of one product: qkv (B, T, (H + 2K) D) holds queries, then keys, then values.
func SelfAttention(g *graph.Graph, qkv *graph.Node, o AttentionOptions) *graph.Node {
	return applyAttention(g, attentionParts{}, o, qkv)
}

// CrossAttention is Attention with keys and values of another sequence from one product: kv (B, S, 2 K D).
func CrossAttention(g *graph.Graph, q, kv *graph.Node, o AttentionOptions) *graph.Node {
	return applyAttention(g, attentionParts{q: 0, k: 1, v: 1}, o, q, kv)
}

// attentionParts names the operand that holds each of queries, keys and values; those of one operand lie side by side in this order.
type attentionParts struct{ q, k, v int }

func applyAttention(g *graph.Graph, p attentionParts, o AttentionOptions, in ...*graph.Node) *graph.Node {
	a := &attention{parts: p, o: o, tensors: len(in), lengths: -1, packed: -1}
	if o.KeyLengths != nil {
		a.lengths = len(in)
		in = append(in, o.KeyLengths)
	}
	if o.Packed != nil {
		a.packed = len(in)
		in = append(in, o.Packed)
	}
	return g.Apply(a, in...)
}

type attention struct {
	likeFirst
	parts           attentionParts
	o               AttentionOptions
	tensors         int // operands that hold queries, keys or values
	lengths, packed int // positions of the masks; -1: absent
	args            device.AttentionArgs
}

func (a *attention) Name() string { return "attention" }

func (a *attention) Infer(in []device.Desc) (device.Desc, error) {
	for i, d := range in {
		if i < a.tensors && (d.DType != in[0].DType || !d.DType.Float() || d.Rank() != 3) || i >= a.tensors && (d.DType != device.Int32 || d.Rank() != 1) {
			return device.Desc{}, errors.New("wants (B, T, C) tensors of one float type and int32 vectors as masks")
		}
	}
	h, kv := a.o.Heads, cmp.Or(a.o.KVHeads, a.o.Heads)
	if h < 1 || kv < 1 || h%kv != 0 {
		return device.Desc{}, fmt.Errorf("%d heads with %d key/value heads", h, kv)
	}
	q, k := in[a.parts.q].Shape, in[a.parts.k].Shape
	heads := h
	if a.tensors == 1 {
		heads = h + 2*kv
	}
	a.args = device.AttentionArgs{
		B: q[0], T: q[1], S: k[1], H: h, KVHeads: kv, D: q[2] / heads, Scale: a.o.Scale, Causal: a.o.Causal,
	}
	return device.Floats(q[0], q[1], h*a.args.D), a.checkShapes(in, heads)
}

func (a *attention) checkShapes(in []device.Desc, queryHeads int) error {
	d, q := a.args.D, in[a.parts.q].Shape
	if q[2] != queryHeads*d || d == 0 {
		return fmt.Errorf("width %d is not a multiple of %d heads", q[2], queryHeads)
	}
	for i := 1; i < a.tensors; i++ {
		parts := 1
		if a.tensors == 2 {
			parts = 2
		}
		if s := in[i].Shape; s[0] != q[0] || s[1] != a.args.S || s[2] != parts*a.args.KVHeads*d {
			return fmt.Errorf("operand %d is %v, must be %v", i, []int(s), []int{q[0], a.args.S, parts * a.args.KVHeads * d})
		}
	}
	if a.lengths > 0 && in[a.lengths].Size() != q[0] {
		return fmt.Errorf("%d key lengths for a batch of %d", in[a.lengths].Size(), q[0])
	}
	if a.packed > 0 && (q[0] != 1 || a.args.S != a.args.T || a.lengths > 0) {
		return errors.New("packed sequences need a batch of 1, as many keys as queries and no key lengths")
	}
	return nil
}

// windows finds queries, keys and values in vs, one value per operand.
func (a *attention) windows(vs []*device.Value) (q, k, v device.Heads) {
	at := func(operand, head, tokens int) device.Heads {
		val := vs[operand]
		width := val.Cols()
		return device.Heads{Value: val, Offset: head * a.args.D, Batch: tokens * width, Token: width, Head: a.args.D}
	}
	kHead, vHead := 0, 0
	if a.parts.k == a.parts.q {
		kHead = a.args.H
	}
	if a.parts.v == a.parts.k {
		vHead = kHead + a.args.KVHeads
	}
	return at(a.parts.q, 0, a.args.T), at(a.parts.k, kHead, a.args.S), at(a.parts.v, vHead, a.args.S)
}

func (a *attention) forward(c *graph.Call) device.AttentionArgs {
	f := a.args
	f.Q, f.K, f.V = a.windows(c.In)
	f.KeyLengths, f.Packed = operand(c.In, a.lengths), operand(c.In, a.packed)
	return f
}

func (a *attention) output(v *device.Value) device.Heads {
	return device.HeadsOf(v, device.HeadsShape{T: a.args.T, H: a.args.H, D: a.args.D, Parts: 1})
}

func (a *attention) Forward(c *graph.Call) {
	f := a.forward(c)
	f.O = a.output(c.Out)
	if c.Saving() {
		f.LogSumExp = c.Saved[0]
	}
	c.Backend.Attention(f)
}

func (a *attention) Wrt() []bool {
	wrt := make([]bool, a.tensors, a.tensors+2)
	for i := range wrt {
		wrt[i] = true
	}
	return append(wrt, make([]bool, len(which(a.lengths > 0, a.packed > 0)))...)
}

// Backprop asks for scratch where the kernel must write a gradient that nobody wants or that is to be added.
func (a *attention) Backprop(r graph.Request) graph.Backprop {
	b := graph.Backprop{Saved: []device.Desc{device.Floats(a.args.B, a.args.H, a.args.T)}, ReadsOut: true}
	for i, d := range r.In {
		b.ReadsIn = append(b.ReadsIn, i)
		if i < a.tensors && (!r.Want[i] || r.Add[i]) {
			b.Scratch = append(b.Scratch, d)
		}
	}
	return b
}

func (a *attention) Backward(c *graph.Call) {
	f := a.forward(c)
	f.O, f.LogSumExp = a.output(c.Out), c.Saved[0]
	var buffer [3]*device.Value
	targets, spare := buffer[:a.tensors], c.Scratch
	for i := range targets {
		targets[i] = c.DIn[i]
		if c.DIn[i] == nil || c.Add[i] {
			targets[i], spare = spare[0], spare[1:]
		}
	}
	b := device.AttentionBackwardArgs{Forward: f, DO: a.output(c.DOut)}
	b.DQ, b.DK, b.DV = a.windows(targets)
	c.Backend.AttentionBackward(b)
	for i, t := range targets {
		if c.DIn[i] != nil && c.Add[i] {
			c.Backend.Add(c.DIn[i], c.DIn[i], t)
		}
	}
}
