package op

import (
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

// types checks element types: a letter per input, f for floats, i for int32. Floats may be of several types.
func types(in []device.Desc, letters string) error {
	if len(in) != len(letters) {
		return fmt.Errorf("takes %d operands, got %d", len(letters), len(in))
	}
	for i, d := range in {
		if want := letters[i] == 'f'; d.DType.Float() != want {
			return fmt.Errorf("operand %d must be %s", i, map[bool]string{true: "floats", false: "int32"}[want])
		}
	}
	return nil
}

// sameType checks that floats are of one type, for kernels that take no others.
func sameType(in ...device.Desc) error {
	for _, d := range in {
		if d.DType != in[0].DType {
			return fmt.Errorf("operands are of the types %v and %v", in[0].DType, d.DType)
		}
	}
	return nil
}

// likeFirst is embedded by operations whose output has the type of their first operand.
type likeFirst struct{}

// Exact is part of graph.Exact.
func (likeFirst) Exact(in []device.Desc) bool { return in[0].DType == device.Float32 }

// always is embedded by operations whose output is never rounded.
type always struct{}

// Exact is part of graph.Exact.
func (always) Exact([]device.Desc) bool { return true }

func rank(d device.Desc, operand string, ranks ...int) error {
	if !slices.Contains(ranks, d.Rank()) {
		return fmt.Errorf("%s has %d dimensions, must have %v", operand, d.Rank(), ranks)
	}
	return nil
}

func sameShape(a, b device.Desc) error {
	if !slices.Equal(a.Shape, b.Shape) {
		return fmt.Errorf("shapes %v and %v differ", []int(a.Shape), []int(b.Shape))
	}
	return nil
}

func vector(d device.Desc, operand string, n int) error {
	if d.Rank() != 1 || d.Shape[0] != n {
		return fmt.Errorf("%s is %v, must be [%d]", operand, []int(d.Shape), n)
	}
	return nil
}

func isScalar(d device.Desc, operand string) error {
	if d.Size() != 1 {
		return fmt.Errorf("%s is %v, must be one element", operand, []int(d.Shape))
	}
	return nil
}

// withCols is the shape of d with another last dimension.
func withCols(d device.Desc, cols int) device.Desc {
	s := slices.Clone(d.Shape)
	s[len(s)-1] = cols
	return device.Desc{DType: d.DType, Shape: s}
}

// accumulator returns where the gradient of input i is to be added: kernels that can only accumulate get a cleared value where the graph
// wants it overwritten. It is nil where nobody wants the gradient.
func accumulator(c *graph.Call, i int) *device.Value {
	d := c.DIn[i]
	if d != nil && !c.Add[i] {
		c.Backend.Zero(d)
	}
	return d
}

// pass writes or adds dout as the gradient of input i, for inputs that graph.Backprop names in Through.
func pass(c *graph.Call, i int) {
	switch d := c.DIn[i]; {
	case d == nil:
	case c.Add[i]:
		c.Backend.Axpy(d, c.DOut, 1)
	default:
		c.Backend.Copy(d, c.DOut)
	}
}

// which lists the indices whose condition holds.
func which(conditions ...bool) []int {
	var out []int
	for i, c := range conditions {
		if c {
			out = append(out, i)
		}
	}
	return out
}
