package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is the element type of a tensor, as safetensors spells it.
type DType string

// The element types that are written; the others are read as bytes.
const (
	F32 DType = "F32"
	I32 DType = "I32"
	U8  DType = "U8"
)

// sizes holds the bytes per element of every type that a file may contain.
var sizes = map[DType]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1,
	"I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4,
	"I64": 8, "U64": 8, "F64": 8,
}

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType DType
	Shape []int
	begin int64 // offsets into the data section
	end   int64
}

// Bytes returns the size of the tensor's data.
func (i Info) Bytes() int64 { return i.end - i.begin }

// Len returns the number of elements.
func (i Info) Len() int { return int(i.Bytes() / sizes[i.DType]) }

// Tensor is a tensor to write. Its data is not copied: it must not change until
// Write returns.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	f32   []float32
	i32   []int32
	u8    []byte
}

// Float32 makes a tensor of float32 values.
func Float32(name string, shape []int, data []float32) Tensor {
	return Tensor{Name: name, DType: F32, Shape: shape, f32: data}
}

// Int32 makes a tensor of int32 values.
func Int32(name string, shape []int, data []int32) Tensor {
	return Tensor{Name: name, DType: I32, Shape: shape, i32: data}
}

// Bytes makes a tensor of bytes.
func Bytes(name string, data []byte) Tensor {
	return Tensor{Name: name, DType: U8, Shape: []int{len(data)}, u8: data}
}

// Float32s returns the values of a float32 tensor, not copied; nil for another type.
func (t Tensor) Float32s() []float32 { return t.f32 }

// Int32s returns the values of an int32 tensor, not copied; nil for another type.
func (t Tensor) Int32s() []int32 { return t.i32 }

func (t Tensor) len() int { return len(t.f32) + len(t.i32) + len(t.u8) }

func (t Tensor) check() error {
	n, err := elements(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if n != int64(t.len()) {
		return fmt.Errorf("tensor %q of shape %v has %d values, want %d", t.Name, t.Shape, t.len(), n)
	}
	return nil
}

// encode appends the bytes of elements [from, to) to dst.
func (t Tensor) encode(dst []byte, from, to int) []byte {
	switch t.DType {
	case F32:
		for _, v := range t.f32[from:to] {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case I32:
		for _, v := range t.i32[from:to] {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
	case U8:
		dst = append(dst, t.u8[from:to]...)
	}
	return dst
}

// decode fills the tensor with what next yields, a chunk of elements at a time;
// at is the offset in bytes within the tensor.
func (t Tensor) decode(next func(b []byte, at int64) error) error {
	size := int(sizes[t.DType])
	buf := make([]byte, min(t.len(), chunk)*size)
	for from := 0; from < t.len(); from += chunk {
		n := min(t.len()-from, chunk)
		b := buf[:n*size]
		if err := next(b, int64(from*size)); err != nil {
			return fmt.Errorf("read tensor %q: %w", t.Name, err)
		}
		switch t.DType {
		case F32:
			for i := range n {
				t.f32[from+i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
		case I32:
			for i := range n {
				t.i32[from+i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
			}
		case U8:
			copy(t.u8[from:], b)
		}
	}
	return nil
}

// elements returns the product of a shape, refusing negative sizes and overflow.
func elements(shape []int) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		if d != 0 && n > math.MaxInt64/8/int64(d) {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= int64(d)
	}
	return n, nil
}
