package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// headWhole is the largest number of logits that HeadCrossEntropy keeps for its backward, 128 MiB. Where there are more it holds headBlock of
// them at a time, 32 MiB.
const (
	headWhole = 1 << 25
	headBlock = 1 << 23
)

// HeadOptions shape a language head and its loss.
type HeadOptions struct {
	Bias      *graph.Node // (V) or nil
	Smoothing float32     // mixes each target with the uniform distribution
	// Transposed takes the weight as (V, C): a tied head reads the embedding's table so.
	Transposed bool
}

// HeadCrossEntropy is CrossEntropy of the logits x W + bias, a scalar: x (..., C), W (C, V), targets int32 with one entry per row, where
// device.IgnoreIndex leaves a row out.
//
// Method: up to headWhole logits it is Linear and CrossEntropy in one, and the gradient of the logits is saved. Beyond, the
// forward makes them for some rows at a time and saves the logarithm of each row's sum of exponentials, and the backward makes them again: a
// product more, for memory that does not grow with N V.
func HeadCrossEntropy(g *graph.Graph, x, w, targets *graph.Node, o HeadOptions) *graph.Node {
	return headLoss(g, []*graph.Node{x, w, targets}, o, headLimits{headWhole, headBlock})
}

// headLimits are the logits that may be kept, and that exist at once where they are not.
type headLimits struct{ most, block int }

func headLoss(g *graph.Graph, in []*graph.Node, o HeadOptions, limits headLimits) *graph.Node {
	h := &headCrossEntropy{smoothing: o.Smoothing, transposed: o.Transposed, bias: -1, headLimits: limits}
	if o.Bias != nil {
		h.bias = len(in)
		in = append(in, o.Bias)
	}
	return g.Apply(h, in...)
}

type headCrossEntropy struct {
	smoothing  float32
	transposed bool
	bias       int // position of the operand; -1: absent
	headLimits
	n, c, v int // rows, width, vocabulary
}

func (h *headCrossEntropy) Name() string { return "headcrossentropy" }

func (h *headCrossEntropy) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ffif"[:len(in)]); err != nil {
		return device.Desc{}, err
	}
	x, w := in[0], in[1]
	if x.Rank() < 1 || w.Rank() != 2 {
		return device.Desc{}, errors.New("wants x (..., C) and a matrix W")
	}
	h.n, h.c, h.v = x.Rows(), w.Shape[0], w.Shape[1]
	if h.transposed {
		h.c, h.v = h.v, h.c
	}
	switch {
	case x.Cols() != h.c:
		return device.Desc{}, fmt.Errorf("x has width %d, W takes %d", x.Cols(), h.c)
	case in[2].Size() != h.n:
		return device.Desc{}, fmt.Errorf("%d rows need as many targets, got %d", h.n, in[2].Size())
	case h.smoothing < 0 || h.smoothing >= 1:
		return device.Desc{}, fmt.Errorf("smoothing is %v: it must be in [0, 1)", h.smoothing)
	case h.bias > 0:
		return device.Floats(), vector(in[h.bias], "the bias", h.v)
	}
	return device.Floats(), nil
}

// whole tells whether all logits exist at once.
func (h *headCrossEntropy) whole() bool { return h.n*h.v <= h.most }

// logits describes those that exist at once.
func (h *headCrossEntropy) logits() device.Desc {
	if h.whole() {
		return device.Floats(h.n, h.v)
	}
	return device.Floats(max(1, h.block/h.v), h.v)
}

// Scratch is the row losses and, unless they are saved, logits or logarithms of sums.
func (h *headCrossEntropy) Scratch(f graph.ForwardRequest) []device.Desc {
	s := []device.Desc{device.Floats(h.n)}
	if !h.whole() || !f.Saving {
		s = append(s, h.logits())
	}
	if !h.whole() && !f.Saving {
		s = append(s, device.Floats(h.n))
	}
	return s
}

func (h *headCrossEntropy) head(c *graph.Call) device.HeadCrossEntropyArgs {
	return device.HeadCrossEntropyArgs{
		Rows: h.n, Width: h.c, Classes: h.v, X: c.In[0], W: c.In[1], Bias: operand(c.In, h.bias), TransW: h.transposed,
		Targets: c.In[2], Smoothing: h.smoothing,
	}
}

func (h *headCrossEntropy) Forward(c *graph.Call) {
	if !h.whole() {
		a := h.head(c)
		a.RowLoss, a.Mean, a.Logits, a.LogSumExp = c.Scratch[0], c.Out, c.Scratch[1], c.Scratch[len(c.Scratch)-1]
		if c.Saving() {
			a.LogSumExp = c.Saved[0]
		}
		c.Backend.HeadCrossEntropy(a)
		return
	}
	logits := c.Scratch[len(c.Scratch)-1]
	if c.Saving() {
		logits = c.Saved[0]
	}
	c.Backend.Gemm(device.GemmArgs{
		M: h.n, N: h.v, K: h.c, A: c.In[0], B: c.In[1], TransB: h.transposed, C: logits, Bias: operand(c.In, h.bias),
	})
	a := device.CrossEntropyArgs{Rows: h.n, Classes: h.v, Logits: logits, Targets: c.In[2], Smoothing: h.smoothing, RowLoss: c.Scratch[0], Mean: c.Out}
	if c.Saving() {
		a.DLogits = logits
	}
	c.Backend.CrossEntropy(a)
}

func (h *headCrossEntropy) Wrt() []bool {
	return []bool{true, true, false, true}[:3+len(which(h.bias > 0))]
}

func (h *headCrossEntropy) Backprop(r graph.Request) graph.Backprop {
	b := graph.Backprop{Accumulates: []int{0, 1}}
	if h.whole() {
		b.ReadsIn, b.Saved = which(r.Want[1], r.Want[0]), []device.Desc{h.logits()}
		return b
	}
	b.Saved, b.Scratch = []device.Desc{device.Floats(h.n)}, []device.Desc{h.logits()}
	for i := range r.In {
		b.ReadsIn = append(b.ReadsIn, i)
	}
	return b
}

func (h *headCrossEntropy) Backward(c *graph.Call) {
	var bias *device.Value
	if h.bias > 0 {
		bias = accumulator(c, h.bias)
	}
	if !h.whole() {
		a := h.head(c)
		a.LogSumExp, a.Logits = c.Saved[0], c.Scratch[0]
		c.Backend.HeadCrossEntropyBackward(device.HeadCrossEntropyBackwardArgs{
			Forward: a, DMean: c.DOut, DX: c.DIn[0], DW: accumulator(c, 1), DBias: bias, Accumulate: c.Add[0],
		})
		return
	}
	d := c.Saved[0]
	if !c.Unit {
		c.Backend.ScaleBy(device.ScaleByArgs{X: d, S: c.DOut, Y: d})
	}
	if dx := c.DIn[0]; dx != nil {
		c.Backend.Gemm(device.GemmArgs{M: h.n, N: h.c, K: h.v, A: d, B: c.In[1], C: dx, TransB: !h.transposed, Accumulate: c.Add[0]})
	}
	if dw := c.DIn[1]; dw != nil {
		a := device.GemmArgs{M: h.c, N: h.v, K: h.n, A: c.In[0], B: d, C: dw, TransA: true, Accumulate: c.Add[1]}
		if h.transposed {
			a.M, a.N, a.A, a.B = h.v, h.c, d, c.In[0]
		}
		c.Backend.Gemm(a)
	}
	if bias != nil {
		c.Backend.SumRows(device.SumRowsArgs{Rows: h.n, Cols: h.v, Period: 1, X: d, DP: bias})
	}
}
