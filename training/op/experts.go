package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// routed is what operations on a plan know: its sizes.
type routed struct{ device.Routing }

// in checks the plan, which every such operation takes.
func (r *routed) in(plan device.Desc) error {
	if plan.DType != device.Int32 || plan.Size() != r.PlanSize() {
		return fmt.Errorf("the plan is %v, must be int32 [%d]", plan, r.PlanSize())
	}
	return nil
}

func (r *routed) with(plan *device.Value) device.Routing {
	out := r.Routing
	out.Plan = plan
	return out
}

func (r *routed) rows() int { return r.Tokens * r.Active }

// dispatch copies tokens (N, C) into the rows of a plan (N Active, C).
type dispatch struct {
	likeFirst
	routed
	c int
}

func (d *dispatch) Name() string { return "dispatch" }

func (d *dispatch) Infer(in []device.Desc) (device.Desc, error) {
	d.c = in[0].Cols()
	return device.Floats(d.rows(), d.c), errors.Join(types(in, "fi"), d.in(in[1]))
}

func (d *dispatch) Forward(c *graph.Call) {
	c.Backend.Dispatch(device.DispatchArgs{Routing: d.with(c.In[1]), Cols: d.c, X: c.In[0], Y: c.Out})
}

func (d *dispatch) Wrt() []bool { return []bool{true, false} }

func (d *dispatch) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: []int{1}, Accumulates: []int{0}}
}

func (d *dispatch) Backward(c *graph.Call) {
	c.Backend.Combine(device.CombineArgs{Routing: d.with(c.In[1]), Cols: d.c, X: c.DOut, Y: c.DIn[0], Accumulate: c.Add[0]})
}

// combine adds up the rows of each token, weighted: rows (N Active, C) and weights (N, Active) give (N, C).
type combine struct {
	likeFirst
	routed
	c int
}

func (m *combine) Name() string { return "combine" }

func (m *combine) Infer(in []device.Desc) (device.Desc, error) {
	m.c = in[0].Cols()
	err := errors.Join(types(in, "ffi"), m.in(in[2]))
	if err == nil && (in[0].Rows() != m.rows() || in[1].Size() != m.rows()) {
		err = fmt.Errorf("%d rows and %d weights for %d tokens of %d experts", in[0].Rows(), in[1].Size(), m.Tokens, m.Active)
	}
	return device.Floats(m.Tokens, m.c), err
}

func (m *combine) Forward(c *graph.Call) {
	c.Backend.Combine(device.CombineArgs{Routing: m.with(c.In[2]), Cols: m.c, X: c.In[0], Weights: c.In[1], Y: c.Out})
}

func (m *combine) Wrt() []bool { return []bool{true, true, false} }

// Backprop asks for scratch where the gradient of the rows, which can only be written, is to be added.
func (m *combine) Backprop(r graph.Request) graph.Backprop {
	b := graph.Backprop{ReadsIn: append(which(r.Want[1], r.Want[0]), 2), Accumulates: []int{1}}
	if r.Want[0] && r.Add[0] {
		b.Scratch = []device.Desc{r.In[0]}
	}
	return b
}

func (m *combine) Backward(c *graph.Call) {
	r := m.with(c.In[2])
	if dw := c.DIn[1]; dw != nil {
		c.Backend.CombineDot(device.CombineDotArgs{Routing: r, Cols: m.c, X: c.In[0], DY: c.DOut, DWeights: dw, Accumulate: c.Add[1]})
	}
	dx := c.DIn[0]
	if dx == nil {
		return
	}
	if c.Add[0] {
		dx = c.Scratch[0]
	}
	c.Backend.Dispatch(device.DispatchArgs{Routing: r, Cols: m.c, X: c.DOut, Weights: c.In[1], Y: dx})
	if c.Add[0] {
		c.Backend.Add(c.DIn[0], c.DIn[0], dx)
	}
}

// expertLinear multiplies the rows of each expert with its own matrix: x (N Active, I) and w (Experts, I, O) give (N Active, O).
type expertLinear struct {
	routed
	i, o int
}

func (l *expertLinear) Name() string { return "expertlinear" }

func (l *expertLinear) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "ffi"), rank(in[1], "w", 3), l.in(in[2])); err != nil {
		return device.Desc{}, err
	}
	l.i, l.o = in[1].Shape[1], in[1].Shape[2]
	if in[0].Rows() != l.rows() || in[0].Cols() != l.i || in[1].Shape[0] != l.Experts {
		return device.Desc{}, fmt.Errorf("wants x [%d %d] and w [%d %d %d]", l.rows(), l.i, l.Experts, l.i, l.o)
	}
	return device.Floats(l.rows(), l.o), nil
}

func (l *expertLinear) Forward(c *graph.Call) {
	c.Backend.ExpertGemm(device.ExpertGemmArgs{Routing: l.with(c.In[2]), N: l.o, K: l.i, A: c.In[0], B: c.In[1], C: c.Out})
}

func (l *expertLinear) Wrt() []bool { return []bool{true, true, false} }

func (l *expertLinear) Backprop(r graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: append(which(r.Want[1], r.Want[0]), 2), Accumulates: []int{0, 1}}
}

func (l *expertLinear) Backward(c *graph.Call) {
	r := l.with(c.In[2])
	if dx := c.DIn[0]; dx != nil {
		c.Backend.ExpertGemm(device.ExpertGemmArgs{
			Routing: r, N: l.i, K: l.o, A: c.DOut, B: c.In[1], C: dx, TransB: true, Accumulate: c.Add[0],
		})
	}
	if dw := accumulator(c, 1); dw != nil {
		c.Backend.ExpertGrad(device.ExpertGradArgs{Routing: r, N: l.o, K: l.i, A: c.In[0], DC: c.DOut, DB: dw})
	}
}
