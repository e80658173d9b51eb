package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// RoPEOptions place tokens. Without Positions, token t is at t.
type RoPEOptions struct {
	HeadWidth int
	Theta     float64
	// Frequencies, in radians per position, replace those of Theta, one per pair; Magnitude multiplies sines and cosines (0: 1). A scaled embedding
	// of long contexts sets them.
	Frequencies []float64
	Magnitude   float64
	// Heads is how many leading heads turn; the rest pass unchanged: of a packed (B, T, (H + 2K) D) tensor, queries and keys are the first H + K. 0 means all.
	Heads     int
	Positions []int32 // per token; with Cols set, the row of each patch
	Cols      []int32 // the column of each patch: two-dimensional embedding
	// Index, int32 with B T elements, picks for each token of the batch an entry of Positions, or of 0, 1, 2, ... up to Range - 1: packed sequences.
	Index *graph.Node
	Range int
	// ColIndex, int32 with B T elements, makes the embedding two-dimensional: the first half of a head turns by entry Index, the second by entry
	// ColIndex of one table, whose width is half a head.
	ColIndex *graph.Node
	// Table, where it is not nil, is used instead of one made here: the layers of a network share it.
	Table device.RoPETable
}

// RoPE turns pairs of channels by the token's position (Su et al. 2021), in the half-split layout of Llama: x (B, T, H D). Grid fills in Positions and
// Cols for images.
//
// Backward turns the other way. Saved: nothing.
func RoPE(g *graph.Graph, x *graph.Node, o RoPEOptions) *graph.Node {
	op := &rope{o: o}
	if x.Desc().Rank() == 3 {
		op.prepare(g, x.Dim(1))
	}
	in := []*graph.Node{x}
	for _, index := range []*graph.Node{o.Index, o.ColIndex} {
		if index != nil {
			in = append(in, index)
		}
	}
	op.indices = len(in) - 1
	return g.Apply(op, in...)
}

// Grid is the row and the column of each patch of an image of height x width patches.
func Grid(height, width int) (rows, cols []int32) {
	for i := range height * width {
		rows, cols = append(rows, int32(i/width)), append(cols, int32(i%width))
	}
	return rows, cols
}

type rope struct {
	likeFirst
	o              RoPEOptions
	table          device.RoPETable
	err            error
	indices        int // operands that pick entries of the table
	b, t, width, h int
}

// part is the width of what turns as one.
func (r *rope) part() int {
	if r.o.ColIndex != nil {
		return r.o.HeadWidth / 2
	}
	return r.o.HeadWidth
}

func (r *rope) prepare(g *graph.Graph, tokens int) {
	if r.o.Table != nil {
		r.table = r.o.Table
		return
	}
	if r.o.Index != nil {
		tokens = r.o.Range
	}
	if r.o.Positions == nil {
		for i := range tokens {
			r.o.Positions = append(r.o.Positions, int32(i))
		}
	}
	r.table, r.err = g.Backend().NewRoPETable(device.RoPESpec{
		Width: r.part(), Theta: r.o.Theta, Frequencies: r.o.Frequencies, Magnitude: r.o.Magnitude, Rows: r.o.Positions, Cols: r.o.Cols,
	})
}

func (r *rope) Name() string { return "rope" }

func (r *rope) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "fii"[:len(in)]), rank(in[0], "x", 3), r.err); err != nil {
		return device.Desc{}, err
	}
	s := in[0].Shape
	r.b, r.t, r.width = s[0], s[1], s[2]
	r.h = r.o.Heads
	if r.h == 0 {
		r.h = r.width / r.o.HeadWidth
	}
	switch {
	case r.width%r.o.HeadWidth != 0 || r.h < 1 || r.h*r.o.HeadWidth > r.width:
		return device.Desc{}, fmt.Errorf("%d heads of %d in a width of %d", r.h, r.o.HeadWidth, r.width)
	case r.o.Index == nil && r.table.Tokens() < r.t || r.o.Positions != nil && r.o.Index == nil && r.table.Tokens() != r.t:
		return device.Desc{}, fmt.Errorf("%d positions for %d tokens", r.table.Tokens(), r.t)
	case r.o.ColIndex != nil && (r.o.Index == nil || r.o.HeadWidth%4 != 0):
		return device.Desc{}, fmt.Errorf("columns need rows, and heads whose width is a multiple of 4")
	}
	for _, index := range in[1:] {
		if index.Size() != r.b*r.t {
			return device.Desc{}, fmt.Errorf("%d indices for %d tokens", index.Size(), r.b*r.t)
		}
	}
	return in[0], nil
}

// turn rotates the leading heads of x into y and copies the rest.
func (r *rope) turn(c *graph.Call, y, x *device.Value, inverse bool) {
	part := r.part()
	view := func(v *device.Value, offset int) device.Heads {
		return device.Heads{Value: v, Offset: offset, Batch: r.t * r.width, Token: r.width, Head: r.o.HeadWidth}
	}
	for at := 0; at < r.o.HeadWidth; at += part {
		a := device.RoPEArgs{B: r.b, T: r.t, H: r.h, D: part, X: view(x, at), Y: view(y, at), Table: r.table, Inverse: inverse}
		if r.indices > 0 {
			a.Index = c.In[1+at/part]
		}
		c.Backend.RoPE(a)
	}
	if turned := r.h * r.o.HeadWidth; turned < r.width {
		c.Backend.CopyBlock(device.CopyBlockArgs{
			Rows: r.b * r.t, Cols: r.width - turned, X: x, Y: y, OffsetX: turned, OffsetY: turned, LDX: r.width, LDY: r.width,
		})
	}
}

func (r *rope) Forward(c *graph.Call) { r.turn(c, c.Out, c.In[0], false) }

func (r *rope) Wrt() []bool { return []bool{true, false, false}[:1+r.indices] }

func (r *rope) Backprop(q graph.Request) graph.Backprop {
	b := graph.Backprop{ReadsIn: []int{1, 2}[:r.indices]}
	if q.Add[0] {
		b.Scratch = []device.Desc{q.In[0]}
	}
	return b
}

func (r *rope) Backward(c *graph.Call) {
	if !c.Add[0] {
		r.turn(c, c.DIn[0], c.DOut, true)
		return
	}
	r.turn(c, c.Scratch[0], c.DOut, true)
	c.Backend.Add(c.DIn[0], c.DIn[0], c.Scratch[0])
}
