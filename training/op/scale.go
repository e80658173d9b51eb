package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// Scale is y = alpha x.
func Scale(g *graph.Graph, x *graph.Node, alpha float32) *graph.Node {
	return WeightedSum(g, []float32{alpha}, x)
}

// WeightedSum is y = Σ weights[i] xs[i] for tensors of one shape, such as the losses of several objectives.
//
// Saved: nothing.
func WeightedSum(g *graph.Graph, weights []float32, xs ...*graph.Node) *graph.Node {
	return g.Apply(&weightedSum{weights: weights}, xs...)
}

type weightedSum struct {
	likeFirst
	weights []float32
}

func (w *weightedSum) Name() string { return "weightedsum" }

func (w *weightedSum) Infer(in []device.Desc) (device.Desc, error) {
	if len(in) != len(w.weights) {
		return device.Desc{}, fmt.Errorf("%d weights for %d operands", len(w.weights), len(in))
	}
	for _, d := range in {
		if !d.DType.Float() {
			return in[0], fmt.Errorf("operands must be floats")
		}
		if err := errors.Join(sameShape(in[0], d), sameType(in[0], d)); err != nil {
			return in[0], err
		}
	}
	return in[0], nil
}

func (w *weightedSum) Forward(c *graph.Call) {
	c.Backend.Scale(c.Out, c.In[0], w.weights[0])
	for i, x := range c.In[1:] {
		c.Backend.Axpy(c.Out, x, w.weights[1+i])
	}
}

func (w *weightedSum) Wrt() []bool {
	wrt := make([]bool, len(w.weights))
	for i := range wrt {
		wrt[i] = true
	}
	return wrt
}

func (w *weightedSum) Backprop(graph.Request) graph.Backprop { return graph.Backprop{} }

func (w *weightedSum) Backward(c *graph.Call) {
	for i, d := range c.DIn {
		switch {
		case d == nil:
		case c.Add[i]:
			c.Backend.Axpy(d, c.DOut, w.weights[i])
		default:
			c.Backend.Scale(d, c.DOut, w.weights[i])
		}
	}
}

// ScaleBy is y = f(s) x for a tensor s of one element: a learnt temperature or logarithmic scale.
//
// Saved: nothing; the gradient of s reads x.
func ScaleBy(g *graph.Graph, x, s *graph.Node, f device.Factor) *graph.Node {
	return g.Apply(&scaleBy{factor: f}, x, s)
}

type scaleBy struct {
	likeFirst
	factor device.Factor
}

func (s *scaleBy) Name() string { return "scaleby" }

func (s *scaleBy) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ff"); err != nil {
		return device.Desc{}, err
	}
	return in[0], isScalar(in[1], "the factor")
}

func (s *scaleBy) Forward(c *graph.Call) {
	c.Backend.ScaleBy(device.ScaleByArgs{Factor: s.factor, X: c.In[0], S: c.In[1], Y: c.Out})
}

func (s *scaleBy) Wrt() []bool { return []bool{true, true} }

func (s *scaleBy) Backprop(r graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: append(which(r.Want[1]), 1), Accumulates: []int{0}}
}

func (s *scaleBy) Backward(c *graph.Call) {
	if dx := c.DIn[0]; dx != nil {
		c.Backend.ScaleBy(device.ScaleByArgs{Factor: s.factor, X: c.DOut, S: c.In[1], Y: dx, Accumulate: c.Add[0]})
	}
	if ds := accumulator(c, 1); ds != nil {
		c.Backend.ScaleByBackward(device.ScaleByBackwardArgs{Factor: s.factor, X: c.In[0], S: c.In[1], DY: c.DOut, DS: ds})
	}
}
