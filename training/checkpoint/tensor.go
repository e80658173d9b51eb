package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Tensor is a tensor to write. Its data is not copied: it must not change until
// Write returns.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	f32   []float32
	i32   []int32
	u8    []byte
	later func() ([]float32, error)
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

// Deferred makes a tensor whose values are asked for when it is its turn to be
// written, and dropped before the next, so that a file larger than memory can be
// written. to is F32, F16 or BF16: values are rounded to it, ties to even.
func Deferred(name string, to DType, shape []int, values func() ([]float32, error)) Tensor {
	return Tensor{Name: name, DType: to, Shape: shape, later: values}
}

// Float32s returns the values of a float32 tensor, not copied; nil for another type.
func (t Tensor) Float32s() []float32 { return t.f32 }

// Int32s returns the values of an int32 tensor, not copied; nil for another type.
func (t Tensor) Int32s() []int32 { return t.i32 }

// Size is the bytes that the tensor's shape takes; an unsound shape takes none.
func (t Tensor) Size() int64 {
	n, err := elements(t.Shape)
	if err != nil {
		return 0
	}
	return n * t.DType.Size()
}

func (t Tensor) len() int { return len(t.f32) + len(t.i32) + len(t.u8) }

func (t Tensor) check() error {
	n, err := elements(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if t.later != nil {
		if t.DType != F32 && t.DType != F16 && t.DType != BF16 {
			return fmt.Errorf("tensor %q: type %q cannot be written from float32: use F32, F16 or BF16", t.Name, t.DType)
		}
		return nil
	}
	if n != int64(t.len()) {
		return fmt.Errorf("tensor %q of shape %v has %d values, want %d", t.Name, t.Shape, t.len(), n)
	}
	return nil
}

// write writes the tensor's data.
func (t Tensor) write(w io.Writer) error {
	if t.later == nil {
		return t.writeValues(w)
	}
	values, err := t.later()
	if err != nil {
		return err
	}
	now := t
	now.later, now.f32 = nil, values
	if err := now.check(); err != nil {
		return err
	}
	return now.writeValues(w)
}

func (t Tensor) writeValues(w io.Writer) error {
	raw, ok := t.memory()
	if !ok {
		return t.encode(w)
	}
	for len(raw) > 0 {
		n := min(len(raw), 4*chunk)
		if _, err := w.Write(raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// memory is the tensor's values where they lie in memory as they stand in files.
func (t Tensor) memory() ([]byte, bool) {
	switch {
	case t.DType == U8:
		return t.u8, true
	case littleEndian && t.DType == F32:
		return bytesOf(t.f32), true
	case littleEndian && t.DType == I32:
		return bytesOf(t.i32), true
	}
	return nil, false
}

// encode writes values that do not lie in memory as they stand in files.
func (t Tensor) encode(w io.Writer) error {
	buf := make([]byte, 0, chunk*int(t.DType.Size()))
	for from := 0; from < t.len(); from += chunk {
		buf = t.appendTo(buf[:0], from, min(from+chunk, t.len()))
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// appendTo appends the bytes of elements [from, to) to dst.
func (t Tensor) appendTo(dst []byte, from, to int) []byte {
	if t.DType == I32 {
		for _, v := range t.i32[from:to] {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
		}
		return dst
	}
	for _, v := range t.f32[from:to] {
		if t.DType == F32 {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
			continue
		}
		short := toBrain
		if t.DType == F16 {
			short = toHalf
		}
		dst = binary.LittleEndian.AppendUint16(dst, short(v))
	}
	return dst
}

// fill fills the tensor with what next yields, in order; at is the offset in
// bytes within the tensor.
func (t Tensor) fill(next func(b []byte, at int64) error) error {
	raw, ok := t.memory()
	if ok {
		return next(raw, 0)
	}
	return inChunks(t.len(), int(t.DType.Size()), next, func(from int, b []byte) {
		for i := range len(b) / 4 {
			v := binary.LittleEndian.Uint32(b[4*i:])
			if t.DType == F32 {
				t.f32[from+i] = math.Float32frombits(v)
			} else {
				t.i32[from+i] = int32(v)
			}
		}
	})
}

// inChunks reads n elements of a size and gives them to use, some at a time.
func inChunks(n, size int, next func(b []byte, at int64) error, use func(from int, b []byte)) error {
	buf := make([]byte, min(n, chunk)*size)
	for from := 0; from < n; from += chunk {
		b := buf[:min(n-from, chunk)*size]
		if err := next(b, int64(from)*int64(size)); err != nil {
			return err
		}
		use(from, b)
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
