package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// LinearOptions shape a linear layer.
type LinearOptions struct {
	Activation device.Activation // after the bias
	Residual   *graph.Node       // (..., O), added last
	// Transposed takes the weight as (O, I): a tied output head reads the embedding's table so.
	Transposed bool
	LoRA       *LoRA // nil: none
	// Exact keeps the result in float32: logits and scores of which losses are made. A residual decides it instead.
	Exact bool
}

// Linear is y = f(x W + b) + r for x (..., I), W (I, O), b (O) or nil, r (..., O) or absent; with LoRA, x W has scale (x A) B added.
//
// Method: one product with the rest as its epilogue; backward is a product each for dx and dW and a column sum for db.
// Saved: x W + b where there is an activation.
func Linear(g *graph.Graph, x, w, b *graph.Node, o LinearOptions) *graph.Node {
	if o.LoRA != nil {
		return lowRank(g, x, w, b, o)
	}
	l := &linear{activation: o.Activation, transposed: o.Transposed, exact: o.Exact, bias: -1, residual: -1}
	in := []*graph.Node{x, w}
	if b != nil {
		l.bias = len(in)
		in = append(in, b)
	}
	if o.Residual != nil {
		l.residual = len(in)
		in = append(in, o.Residual)
	}
	return g.Apply(l, in...)
}

// MatMulT is y = a bᵀ for a (N, C) and b (M, C): all inner products of two sets of rows, (N, M), in float32.
func MatMulT(g *graph.Graph, a, b *graph.Node) *graph.Node {
	return Linear(g, a, b, nil, LinearOptions{Transposed: true, Exact: true})
}

type linear struct {
	activation     device.Activation
	transposed     bool
	exact          bool
	bias, residual int // positions of the operands; -1: absent
	n, i, o        int // rows, input and output width
}

func (l *linear) Name() string { return "linear" }

func (l *linear) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ffff"[:len(in)]); err != nil {
		return device.Desc{}, err
	}
	x, w := in[0], in[1]
	if x.Rank() < 1 || w.Rank() != 2 {
		return device.Desc{}, errors.New("wants x (..., I) and a matrix W")
	}
	l.n, l.i, l.o = x.Rows(), w.Shape[0], w.Shape[1]
	if l.transposed {
		l.i, l.o = l.o, l.i
	}
	if x.Cols() != l.i {
		return device.Desc{}, fmt.Errorf("x has width %d, W takes %d", x.Cols(), l.i)
	}
	y := withCols(x, l.o)
	if l.bias > 0 {
		if err := vector(in[l.bias], "b", l.o); err != nil {
			return y, err
		}
	}
	if l.residual > 0 {
		if in[l.residual].Size() != y.Size() {
			return y, fmt.Errorf("the residual is %v, the output %v", in[l.residual], y)
		}
	}
	return y, nil
}

// Exact is part of graph.Exact: a product is added to its residual in one type.
func (l *linear) Exact(in []device.Desc) bool {
	if l.residual > 0 {
		return in[l.residual].DType == device.Float32
	}
	return l.exact
}

func operand(vs []*device.Value, i int) *device.Value {
	if i < 0 {
		return nil
	}
	return vs[i]
}

func (l *linear) Forward(c *graph.Call) {
	a := device.GemmArgs{
		M: l.n, N: l.o, K: l.i, A: c.In[0], B: c.In[1], C: c.Out, TransB: l.transposed,
		Bias: operand(c.In, l.bias), Activation: l.activation, Residual: operand(c.In, l.residual),
	}
	if len(c.Saved) > 0 {
		a.Pre = c.Saved[0]
	}
	c.Backend.Gemm(a)
}

func (l *linear) Wrt() []bool {
	return []bool{true, true, true, true}[:2+len(which(l.bias > 0, l.residual > 0))]
}

func (l *linear) Backprop(r graph.Request) graph.Backprop {
	b := graph.Backprop{ReadsIn: which(r.Want[1], r.Want[0]), Accumulates: []int{0, 1}}
	inner := r.Want[0] || r.Want[1] || l.bias > 0 && r.Want[l.bias]
	if l.activation != device.Identity && inner {
		b.Saved = []device.Desc{r.Out}
		b.Scratch = []device.Desc{r.Out}
	}
	if l.residual > 0 {
		b.Through = []int{l.residual}
	}
	return b
}

func (l *linear) Backward(c *graph.Call) {
	dy := c.DOut
	if len(c.Saved) > 0 {
		dy = c.Scratch[0]
		c.Backend.ActivateBackward(device.ActivateBackwardArgs{Activation: l.activation, X: c.Saved[0], DY: c.DOut, DX: dy})
	}
	if dx := c.DIn[0]; dx != nil {
		c.Backend.Gemm(device.GemmArgs{M: l.n, N: l.i, K: l.o, A: dy, B: c.In[1], C: dx, TransB: !l.transposed, Accumulate: c.Add[0]})
	}
	if dw := c.DIn[1]; dw != nil {
		a := device.GemmArgs{M: l.i, N: l.o, K: l.n, A: c.In[0], B: dy, C: dw, TransA: true, Accumulate: c.Add[1]}
		if l.transposed {
			a.M, a.N, a.A, a.B = l.o, l.i, dy, c.In[0]
		}
		c.Backend.Gemm(a)
	}
	if l.bias > 0 {
		if db := accumulator(c, l.bias); db != nil {
			c.Backend.SumRows(device.SumRowsArgs{Rows: l.n, Cols: l.o, Period: 1, X: dy, DP: db})
		}
	}
	if l.residual > 0 {
		pass(c, l.residual)
	}
}
