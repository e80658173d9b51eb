package op

import (
	"errors"

	"tempera/training/device"
	"tempera/training/graph"
)

// Embedding looks up rows: ids int32 (...) and table (V, C) give (..., C). A negative id gives zeros.
//
// Backward adds up the rows of repeated ids in the order of ids. Saved: nothing.
func Embedding(g *graph.Graph, ids, table *graph.Node) *graph.Node {
	return g.Apply(&gather{name: "embedding"}, ids, table)
}

// GatherRows selects items: index int32 (N) of x (M, ...), of integers or floats, gives (N, ...). It is differentiable in an x of floats; an index may repeat.
func GatherRows(g *graph.Graph, x, index *graph.Node) *graph.Node {
	return g.Apply(&gather{name: "gatherrows", items: true}, index, x)
}

type gather struct {
	name       string
	items      bool // the table's rows are whole items of any rank and type
	ints       bool
	rows, cols int
}

func (e *gather) Name() string { return e.name }

func (e *gather) Infer(in []device.Desc) (device.Desc, error) {
	ids, table := in[0], in[1]
	e.ints = table.DType == device.Int32
	if ids.DType != device.Int32 || e.ints && !e.items {
		return device.Desc{}, errors.New("wants int32 indices, and a table of floats if it is one of embeddings")
	}
	if !e.items && table.Rank() != 2 || e.items && (table.Rank() < 1 || ids.Rank() != 1) {
		return device.Desc{}, errors.New("wants a table (V, C), or items (M, ...) and a vector of indices")
	}
	e.rows = table.Shape[0]
	e.cols = table.Size() / e.rows
	shape := append(append(device.Shape{}, ids.Shape...), table.Shape[1:]...)
	return device.Desc{DType: table.DType, Shape: shape}, nil
}

func (e *gather) Forward(c *graph.Call) {
	c.Backend.Gather(device.GatherArgs{TableRows: e.rows, Cols: e.cols, Table: c.In[1], Index: c.In[0], Y: c.Out})
}

func (e *gather) Wrt() []bool { return []bool{false, !e.ints} }

func (e *gather) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: []int{0}, Accumulates: []int{1}}
}

func (e *gather) Backward(c *graph.Call) {
	c.Backend.GatherBackward(device.GatherBackwardArgs{
		TableRows: e.rows, Cols: e.cols, DTable: accumulator(c, 1), Index: c.In[0], DY: c.DOut,
	})
}
