package op

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/graph"
)

// GridArgs place patches in their images: int32 vectors of one length, N.
type GridArgs struct {
	Down, Across    *graph.Node // the row and the column of the patch
	Heights, Widths *graph.Node // of its image, in patches
}

// GridPosition looks up learned positions of images of any size: table (S S, C), a square of vectors, is resized bicubically to each image, and each
// patch gets the vector at its place: (N, C). It does what PyTorch's interpolate does, for the patches asked for alone.
//
// Saved: nothing.
func GridPosition(g *graph.Graph, table *graph.Node, a GridArgs) *graph.Node {
	return g.Apply(&grid{}, table, a.Down, a.Across, a.Heights, a.Widths)
}

type grid struct{ side, cols int }

func (p *grid) Name() string { return "gridposition" }

func (p *grid) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "fiiii"), rank(in[0], "the table", 2)); err != nil {
		return device.Desc{}, err
	}
	p.side, p.cols = int(math.Round(math.Sqrt(float64(in[0].Shape[0])))), in[0].Shape[1]
	if p.side*p.side != in[0].Shape[0] {
		return device.Desc{}, fmt.Errorf("%d vectors are no square", in[0].Shape[0])
	}
	n := in[1].Size()
	for _, d := range in[1:] {
		if err := vector(d, "each place and size", n); err != nil {
			return device.Desc{}, err
		}
	}
	return device.Floats(n, p.cols), nil
}

func (p *grid) Forward(c *graph.Call) {
	c.Backend.Grid(device.GridArgs{
		Side: p.side, Cols: p.cols, Table: c.In[0], Down: c.In[1], Across: c.In[2], Heights: c.In[3], Widths: c.In[4], Y: c.Out,
	})
}

func (p *grid) Wrt() []bool { return []bool{true, false, false, false, false} }

func (p *grid) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: []int{1, 2, 3, 4}, Accumulates: []int{0}}
}

func (p *grid) Backward(c *graph.Call) {
	c.Backend.GridBackward(device.GridBackwardArgs{
		Side: p.side, Cols: p.cols, Down: c.In[1], Across: c.In[2], Heights: c.In[3], Widths: c.In[4], DTable: accumulator(c, 0), DY: c.DOut,
	})
}
