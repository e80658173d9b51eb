package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// HostLoss is a scalar that f computes on the host from small tensors in the middle of a run: what post-training makes of log-probabilities and
// scores. f gets the elements of the inputs, returns the loss, and adds to grad, which is zero, its gradient with respect to each
// element. What else f needs, such as advantages, it finds in its closure; it must be a function of these alone, and must not keep its arguments.
//
// Method: the inputs are copied to the host and the gradients back, unrounded where the memory is device.Wide. Saved: the gradients, over the
// inputs if nobody else reads them. It waits for the device once in each run.
func HostLoss(g *graph.Graph, name string, f func(in, grad [][]float64) float64, in ...*graph.Node) *graph.Node {
	return g.Apply(&hostLoss{name: name, f: f}, in...)
}

type hostLoss struct {
	name     string
	f        func(in, grad [][]float64) float64
	in, grad [][]float64
}

func (h *hostLoss) Name() string { return h.name }

// Waits is part of graph.Waiting.
func (h *hostLoss) Waits() {}

func (h *hostLoss) Infer(in []device.Desc) (device.Desc, error) {
	h.in, h.grad = make([][]float64, len(in)), make([][]float64, len(in))
	for i, d := range in {
		if !d.DType.Float() {
			return device.Desc{}, fmt.Errorf("operand %d must be floats", i)
		}
		h.in[i], h.grad[i] = make([]float64, d.Size()), make([]float64, d.Size())
	}
	return device.Floats(), nil
}

func (h *hostLoss) Forward(c *graph.Call) {
	var errs []error
	for i, v := range c.In {
		errs = append(errs, device.ReadWide(c.Backend, h.in[i], v))
		clear(h.grad[i])
	}
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
	errs = append(errs, device.WriteWide(c.Backend, c.Out, []float64{h.f(h.in, h.grad)}))
	for i, v := range c.Saved {
		errs = append(errs, device.WriteWide(c.Backend, v, h.grad[i]))
	}
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
}

func (h *hostLoss) Wrt() []bool {
	wrt := make([]bool, len(h.in))
	for i := range wrt {
		wrt[i] = true
	}
	return wrt
}

func (h *hostLoss) Backprop(r graph.Request) graph.Backprop {
	b := graph.Backprop{SavedOver: map[int]int{}, Over: map[int]int{}}
	for i, d := range r.In {
		b.Saved = append(b.Saved, d)
		b.SavedOver[i], b.Over[i] = i, i
	}
	return b
}

func (h *hostLoss) Backward(c *graph.Call) {
	for i, d := range c.DIn {
		if d == nil || c.Unit && d.Uintptr() == c.Saved[i].Uintptr() {
			continue
		}
		c.Backend.ScaleBy(device.ScaleByArgs{X: c.Saved[i], S: c.DOut, Y: d, Accumulate: c.Add[i]})
	}
}
