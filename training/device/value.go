package device

import (
	"fmt"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// DType is the type of a tensor's elements.
type DType uint8

// The element types. Int32 holds token ids, labels, lengths and indices; it has no gradient. BFloat16 is how some backends store activations
// and their gradients; the host sees them as float32.
const (
	Float32 DType = iota
	Int32
	BFloat16
)

// WordBytes is the size of a word of a Buffer.
const WordBytes = 4

// Bytes is the size of an element.
func (d DType) Bytes() int {
	if d == BFloat16 {
		return 2
	}
	return 4
}

// Float tells whether elements are numbers of the model, which may have gradients.
func (d DType) Float() bool { return d != Int32 }

func (d DType) String() string {
	switch d {
	case Int32:
		return "int32"
	case BFloat16:
		return "bfloat16"
	default:
		return "float32"
	}
}

// tensor is the type that gorgonia is told. It has no name for bfloat16, and needs none: it only compares.

func (d DType) tensor() tensor.Dtype {
	if d == Int32 {
		return tensor.Int32
	}
	return tensor.Float32
}

// Shape lists the extents of a tensor, outermost first. The empty shape is a scalar of one element.
type Shape = tensor.Shape

// Desc is what is known of a tensor before it has memory.
type Desc struct {
	DType DType
	Shape Shape
}

// Floats describes a float32 tensor.
func Floats(shape ...int) Desc { return Desc{Float32, slices.Clone(Shape(shape))} }

// Ints describes an int32 tensor.
func Ints(shape ...int) Desc { return Desc{Int32, slices.Clone(Shape(shape))} }

// Size is the number of elements.
func (d Desc) Size() int {
	n := 1
	for _, e := range d.Shape {
		n *= e
	}
	return n
}

// Words is the memory that the tensor takes, in words.
func (d Desc) Words() int { return (d.Size()*d.DType.Bytes() + WordBytes - 1) / WordBytes }

// Rank is the number of dimensions; 0 for a scalar.
func (d Desc) Rank() int { return len(d.Shape) }

// Rows is the product of all dimensions but the last; 1 for a vector or a scalar.
func (d Desc) Rows() int {
	n := 1
	for i := range len(d.Shape) - 1 {
		n *= d.Shape[i]
	}
	return n
}

// Cols is the last dimension; 1 for a scalar.
func (d Desc) Cols() int {
	if len(d.Shape) == 0 {
		return 1
	}
	return d.Shape[len(d.Shape)-1]
}

// Type is the gorgonia type of such a tensor.
func (d Desc) Type() hm.Type {
	if len(d.Shape) == 0 {
		return d.DType.tensor()
	}
	return gorgonia.TensorType{Dims: len(d.Shape), Of: d.DType.tensor()}
}

func (d Desc) String() string {
	return fmt.Sprintf("%s%v", d.DType, []int(d.Shape))
}

// Buffer is memory of a device, counted in words of four bytes. Only the backend that made it knows what it holds.
type Buffer interface {
	Words() int
	// Address identifies the buffer; it need not be an address that the host can read.
	Address() uintptr
}

// Value is a dense row-major tensor in a window of a Buffer. Its shape never changes.
type Value struct {
	desc   Desc
	buffer Buffer
	offset int // in words
}

var _ gorgonia.Value = (*Value)(nil)

// NewValue lays a tensor over buffer, from the word offset on. It panics where the buffer is too short.
func NewValue(d Desc, buffer Buffer, offset int) *Value {
	if offset < 0 || offset+d.Words() > buffer.Words() {
		panic(fmt.Sprintf("device: %v at word %d does not fit a buffer of %d words", d, offset, buffer.Words()))
	}
	return &Value{desc: d, buffer: buffer, offset: offset}
}

// View is the same memory under another shape of equal size.
func (v *Value) View(d Desc) *Value {
	if d.Size() != v.desc.Size() || d.DType.Bytes() != v.desc.DType.Bytes() {
		panic(fmt.Sprintf("device: view of %v as %v", v.desc, d))
	}
	return &Value{desc: d, buffer: v.buffer, offset: v.offset}
}

// Desc is the value's element type and shape.
func (v *Value) Desc() Desc { return v.desc }

// Buffer is the memory that the value lies in.
func (v *Value) Buffer() Buffer { return v.buffer }

// Offset is the word of the buffer at which the value starts.
func (v *Value) Offset() int { return v.offset }

// Rows and Cols see the tensor as a matrix; see Desc.
func (v *Value) Rows() int { return v.desc.Rows() }

// Cols is the last dimension.
func (v *Value) Cols() int { return v.desc.Cols() }

// Size is the number of elements.
func (v *Value) Size() int { return v.desc.Size() }

// Shape is part of gorgonia.Value. The caller must not change it.
func (v *Value) Shape() tensor.Shape { return v.desc.Shape }

// Dtype is part of gorgonia.Value.
func (v *Value) Dtype() tensor.Dtype { return v.desc.DType.tensor() }

// Type lets gorgonia check types without knowing this package.
func (v *Value) Type() hm.Type { return v.desc.Type() }

// Data is part of gorgonia.Value. It is the Buffer: the elements are reached through a Backend only.
func (v *Value) Data() any { return v.buffer }

// Uintptr is part of gorgonia.Value; it identifies the memory and must not be dereferenced.
func (v *Value) Uintptr() uintptr { return v.buffer.Address() + uintptr(v.offset)*WordBytes }

// MemSize is part of gorgonia.Value: the size in bytes.
func (v *Value) MemSize() uintptr { return uintptr(v.desc.Words()) * WordBytes }

// Format prints the description, never the elements.
func (v *Value) Format(f fmt.State, _ rune) { fmt.Fprint(f, v.desc.String()) }
