package op

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// CrossEntropyOptions shape the targets.
type CrossEntropyOptions struct {
	Smoothing float32 // mixes each target with the uniform distribution
}

// CrossEntropy is the mean over rows of -log softmax(logits)[target], a scalar. logits is (..., V). targets is int32 with one entry per row,
// where device.IgnoreIndex leaves a row out, or floats (..., V): a distribution per row. Targets get no gradient.
//
// Method: loss and gradient in one pass. Saved: the gradient, over the logits if nobody else reads them; it becomes that of the logits in place.
func CrossEntropy(g *graph.Graph, logits, targets *graph.Node, o CrossEntropyOptions) *graph.Node {
	return g.Apply(&crossEntropy{smoothing: o.Smoothing}, logits, targets)
}

type crossEntropy struct {
	smoothing float32
	soft      bool
	n, v      int
}

func (x *crossEntropy) Name() string { return "crossentropy" }

func (x *crossEntropy) Infer(in []device.Desc) (device.Desc, error) {
	logits, targets := in[0], in[1]
	x.n, x.v, x.soft = logits.Rows(), logits.Cols(), targets.DType.Float()
	want := x.n
	if x.soft {
		want *= x.v
	}
	switch {
	case !logits.DType.Float():
		return device.Desc{}, fmt.Errorf("logits must be floats")
	case targets.Size() != want:
		return device.Desc{}, fmt.Errorf("%d rows of %d logits need %d targets of this type, got %d", x.n, x.v, want, targets.Size())
	case x.smoothing < 0 || x.smoothing >= 1 || x.soft && x.smoothing != 0:
		return device.Desc{}, fmt.Errorf("smoothing is %v: it must be in [0, 1), and 0 with soft targets", x.smoothing)
	}
	return device.Floats(), nil
}

func (x *crossEntropy) Scratch(graph.ForwardRequest) []device.Desc {
	return []device.Desc{device.Floats(x.n)}
}

func (x *crossEntropy) Forward(c *graph.Call) {
	a := device.CrossEntropyArgs{Rows: x.n, Classes: x.v, Logits: c.In[0], Smoothing: x.smoothing, RowLoss: c.Scratch[0], Mean: c.Out}
	if x.soft {
		a.SoftTargets = c.In[1]
	} else {
		a.Targets = c.In[1]
	}
	if c.Saving() {
		a.DLogits = c.Saved[0]
	}
	c.Backend.CrossEntropy(a)
}

func (x *crossEntropy) Wrt() []bool { return []bool{true, false} }

func (x *crossEntropy) Backprop(r graph.Request) graph.Backprop { return savedGradient(r.In[0]) }

func (x *crossEntropy) Backward(c *graph.Call) { scaleSavedGradient(c) }

// savedGradient is the Backprop of a loss whose forward saves the gradient of input 0.
func savedGradient(logits device.Desc) graph.Backprop {
	return graph.Backprop{Saved: []device.Desc{logits}, SavedOver: map[int]int{0: 0}, Over: map[int]int{0: 0}}
}

// scaleSavedGradient multiplies the saved gradient of input 0 by the loss's own.
func scaleSavedGradient(c *graph.Call) {
	if c.Unit && c.DIn[0].Uintptr() == c.Saved[0].Uintptr() {
		return
	}
	c.Backend.ScaleBy(device.ScaleByArgs{X: c.Saved[0], S: c.DOut, Y: c.DIn[0], Accumulate: c.Add[0]})
}
