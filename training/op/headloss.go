package op

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// headWhole is the largest number of logits that HeadCrossEntropy keeps for its backward, 128 MiB. Where there are more it holds a block of
// them at a time: headBlock, 32 MiB, or separateBlock, 512 MiB, where the device has memory of its own, as a GPU reads all of W for each block.
const (
	headWhole     = 1 << 25
	headBlock     = 1 << 23
	separateBlock = 1 << 27
)

// headBlockOf is the logits of a block on the graph's device.
func headBlockOf(g *graph.Graph) int {
	if _, ok := g.Backend().(device.Separate); ok {
		return separateBlock
	}
	return headBlock
}

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
	return headLoss(g, []*graph.Node{x, w, targets}, o, headLimits{headWhole, headBlockOf(g)})
}

// headLimits are the logits that may be kept, and that exist at once where they are not.
type headLimits struct{ most, block int }

func headLoss(g *graph.Graph, in []*graph.Node, o HeadOptions, limits headLimits) *graph.Node {
	h := &headCrossEntropy{smoothing: o.Smoothing, headLimits: limits}
	return g.Apply(h, h.operands(in, o.Bias, o.Transposed)...)
}

type headCrossEntropy struct {
	headOperands
	smoothing float32
	headLimits
}

func (h *headCrossEntropy) Name() string { return "headcrossentropy" }

func (h *headCrossEntropy) Infer(in []device.Desc) (device.Desc, error) {
	if h.smoothing < 0 || h.smoothing >= 1 {
		return device.Desc{}, fmt.Errorf("smoothing is %v: it must be in [0, 1)", h.smoothing)
	}
	return device.Floats(), h.infer(in)
}

// whole tells whether all logits exist at once.
func (h *headCrossEntropy) whole() bool { return h.n*h.v <= h.most }

// logits describes those that exist at once.
func (h *headCrossEntropy) logits() device.Desc {
	if h.whole() {
		return device.Floats(h.n, h.v)
	}
	return h.blockOf(h.block)
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

func (h *headCrossEntropy) Forward(c *graph.Call) {
	if !h.whole() {
		a := device.HeadCrossEntropyArgs{
			HeadInput: h.input(c, c.Scratch[1]), Smoothing: h.smoothing, RowLoss: c.Scratch[0], Mean: c.Out, LogSumExp: c.Scratch[len(c.Scratch)-1],
		}
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

func (h *headCrossEntropy) Backprop(r graph.Request) graph.Backprop {
	if !h.whole() {
		return h.backprop(r, h.logits())
	}
	b := graph.Backprop{Accumulates: []int{0, 1}, ReadsIn: which(r.Want[1], r.Want[0]), Saved: []device.Desc{h.logits()}}
	if x := r.In[0].DType; x != device.Float32 { // products read the gradient in the type of x: it is rounded once for both
		b.Scratch = []device.Desc{{DType: x, Shape: b.Saved[0].Shape}}
	}
	return b
}

func (h *headCrossEntropy) Backward(c *graph.Call) {
	if !h.whole() {
		f := device.HeadCrossEntropyArgs{HeadInput: h.input(c, c.Scratch[0]), Smoothing: h.smoothing, LogSumExp: c.Saved[0]}
		c.Backend.HeadCrossEntropyBackward(device.HeadCrossEntropyBackwardArgs{Forward: f, DMean: c.DOut, HeadGradients: h.gradients(c)})
		return
	}
	d := c.Saved[0]
	if !c.Unit {
		c.Backend.ScaleBy(device.ScaleByArgs{X: d, S: c.DOut, Y: d})
	}
	if h.bias > 0 {
		if bias := accumulator(c, h.bias); bias != nil {
			c.Backend.SumRows(device.SumRowsArgs{Rows: h.n, Cols: h.v, Period: 1, X: d, DP: bias})
		}
	}
	if len(c.Scratch) > 0 {
		c.Backend.Copy(c.Scratch[0], d)
		d = c.Scratch[0]
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
}
