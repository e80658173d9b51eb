package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// HeadOperand is a language head and the states that it is applied to.
type HeadOperand struct {
	X, W       *graph.Node // (..., C), (C, V)
	Bias       *graph.Node // (V) or nil
	Transposed bool        // W is (V, C): a tied head reads the embedding's table so
}

// HeadDivergence is what a student is taught by a teacher of the same vocabulary (Hinton et al. 2015): the mean over rows of KL(q || p), with q =
// softmax(teacher's logits / temperature) and p that of the student, a scalar. The two widths may differ. targets is int32 with one entry per row, where
// device.IgnoreIndex leaves a row out. The teacher gets no gradient.
//
// Method: the logits of both exist for some rows at a time, a block of them, and are made again by the backward. Saved: nothing.
func HeadDivergence(g *graph.Graph, student, teacher HeadOperand, targets *graph.Node, temperature float32) *graph.Node {
	return headDivergenceOf(g, student, teacher, targets, headDivergence{temperature: temperature, block: headBlockOf(g)})
}

func headDivergenceOf(g *graph.Graph, student, teacher HeadOperand, targets *graph.Node, d headDivergence) *graph.Node {
	in := d.operands([]*graph.Node{student.X, student.W, targets}, student.Bias, student.Transposed)
	d.at, d.teacherTransposed = len(in), teacher.Transposed
	in = append(in, teacher.X, teacher.W)
	if teacher.Bias != nil {
		in = append(in, teacher.Bias)
	}
	return g.Apply(&d, in...)
}

type headDivergence struct {
	headOperands
	at                int // of the teacher's operands
	teacherTransposed bool
	width             int // the teacher's
	temperature       float32
	block             int // logits of one of the two that exist at once
}

func (d *headDivergence) Name() string { return "headdivergence" }

func (d *headDivergence) Infer(in []device.Desc) (device.Desc, error) {
	if !(d.temperature > 0) {
		return device.Desc{}, fmt.Errorf("temperature is %v: it must be positive", d.temperature)
	}
	if err := d.infer(in[:d.at]); err != nil {
		return device.Desc{}, err
	}
	teacher := in[d.at:]
	if err := types(teacher, "fff"[:len(teacher)]); err != nil {
		return device.Desc{}, err
	}
	x, w := teacher[0], teacher[1]
	if w.Rank() != 2 {
		return device.Desc{}, errors.New("the teacher wants a matrix W")
	}
	c, v := w.Shape[0], w.Shape[1]
	if d.teacherTransposed {
		c, v = v, c
	}
	d.width = c
	if x.Rows() != d.n || x.Cols() != c || v != d.v {
		return device.Desc{}, fmt.Errorf("the teacher has %d rows of width %d and W for %d and %d words: the student has %d rows and %d words", x.Rows(), x.Cols(), c, v, d.n, d.v)
	}
	if len(teacher) > 2 {
		return device.Floats(), vector(teacher[2], "the teacher's bias", v)
	}
	return device.Floats(), nil
}

// Scratch is a block of logits of each, and the rows' losses.
func (d *headDivergence) Scratch(graph.ForwardRequest) []device.Desc {
	return []device.Desc{d.blockOf(d.block), d.blockOf(d.block), device.Floats(d.n)}
}

func (d *headDivergence) args(c *graph.Call) device.HeadDivergenceArgs {
	t := c.In[d.at:]
	a := device.HeadDivergenceArgs{Student: d.input(c, c.Scratch[0]), Temperature: d.temperature}
	a.Teacher = device.HeadInput{Rows: d.n, Width: d.width, Classes: d.v, X: t[0], W: t[1], TransW: d.teacherTransposed, Logits: c.Scratch[1]}
	if len(t) > 2 {
		a.Teacher.Bias = t[2]
	}
	return a
}

func (d *headDivergence) Forward(c *graph.Call) {
	a := d.args(c)
	a.RowLoss, a.Mean = c.Scratch[2], c.Out
	c.Backend.HeadDivergence(a)
}

func (d *headDivergence) Backprop(r graph.Request) graph.Backprop {
	b := d.backprop(r, d.blockOf(d.block))
	b.Saved, b.Scratch = nil, append(b.Scratch, d.blockOf(d.block))
	return b
}

func (d *headDivergence) Backward(c *graph.Call) {
	c.Backend.HeadDivergenceBackward(device.HeadDivergenceBackwardArgs{Forward: d.args(c), DMean: c.DOut, HeadGradients: d.gradients(c)})
}
