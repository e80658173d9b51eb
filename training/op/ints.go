package op

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

// GatherInts selects items of an integer tensor: index int32 (N) of x int32 (M, ...) gives int32 (N, ...).
func GatherInts(g *graph.Graph, x, index *graph.Node) *graph.Node {
	return g.Apply(&gatherInts{}, x, index)
}

type gatherInts struct{ rows, cols int }

func (*gatherInts) Name() string { return "gatherints" }

func (e *gatherInts) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ii"); err != nil {
		return device.Desc{}, err
	}
	x, index := in[0], in[1]
	if x.Rank() < 1 || index.Rank() != 1 {
		return device.Desc{}, errors.New("wants items (M, ...) and a vector of indices")
	}
	e.rows, e.cols = x.Shape[0], x.Size()/x.Shape[0]
	return device.Ints(append([]int{index.Shape[0]}, x.Shape[1:]...)...), nil
}

// Forward moves words, whatever they mean.
func (e *gatherInts) Forward(c *graph.Call) {
	c.Backend.Gather(device.GatherArgs{TableRows: e.rows, Cols: e.cols, Table: asFloats(c.In[0]), Index: c.In[1], Y: asFloats(c.Out)})
}

// asFloats is the same memory with the other element type, for kernels that only copy.
func asFloats(v *device.Value) *device.Value {
	return device.NewValue(device.Floats(v.Shape()...), v.Buffer(), v.Offset())
}

// ConcatInts joins integer tensors along their first dimension.
func ConcatInts(g *graph.Graph, xs ...*graph.Node) *graph.Node { return g.Apply(concatInts{}, xs...) }

type concatInts struct{}

func (concatInts) Name() string { return "concatints" }

func (concatInts) Infer(in []device.Desc) (device.Desc, error) {
	shape := slices.Clone(in[0].Shape)
	for i, d := range in {
		if d.DType != device.Int32 || d.Rank() < 1 || !slices.Equal(d.Shape[1:], in[0].Shape[1:]) {
			return device.Desc{}, fmt.Errorf("operand %d must be int32 and differ in its first dimension only", i)
		}
		if i > 0 {
			shape[0] += d.Shape[0]
		}
	}
	return device.Desc{DType: device.Int32, Shape: shape}, nil
}

func (concatInts) Forward(c *graph.Call) {
	at := c.Out.Offset()
	for _, x := range c.In {
		c.Backend.Copy(device.NewValue(x.Desc(), c.Out.Buffer(), at), x)
		at += x.Size()
	}
}
