// Package reference is a backend that computes every operation in float64, by loops that read as the formulas of package device.
//
// It is what faster backends are compared with, and where gradients of whole models meet finite differences: Read and Write reach the
// elements of a value in full precision, which Upload and Download round to float32. It is slow, and its memory, like a
// device's, cannot be addressed by the host. One file holds one family of device.Backend, named as there.
package reference

import (
	"fmt"
	"sync"

	"tempera/training/device"
)

// Backend is the float64 backend. Elements of every type are kept as float64, which holds every int32 exactly.
type Backend struct {
	mu     sync.RWMutex
	next   uintptr
	memory map[uintptr][]float64
}

var _ device.Backend = (*Backend)(nil)

// New is a backend with no memory in use.
func New() *Backend { return &Backend{next: 1 << 59, memory: map[uintptr][]float64{}} }

type handle struct {
	id    uintptr
	words int
}

func (h *handle) Words() int       { return h.words }
func (h *handle) Address() uintptr { return h.id }

// Name is part of device.Memory.
func (*Backend) Name() string { return "reference (float64)" }

// Alloc is part of device.Memory.
func (b *Backend) Alloc(words int) (device.Buffer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &handle{b.next, words}
	b.memory[h.id] = make([]float64, words)
	b.next += uintptr(words+16) * device.WordBytes
	return h, nil
}

// Free is part of device.Memory.
func (b *Backend) Free(buffer device.Buffer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.memory[buffer.Address()] == nil {
		return fmt.Errorf("free buffer %#x: no such buffer", buffer.Address())
	}
	delete(b.memory, buffer.Address())
	return nil
}

// Sync is part of device.Memory.
func (*Backend) Sync() error { return nil }

// Read copies all elements of a value in full precision.
func (b *Backend) Read(v *device.Value) []float64 { return append([]float64(nil), b.of(v)...) }

// Write sets all elements of a value. Values of int32 take whole numbers only.
func (b *Backend) Write(v *device.Value, data []float64) {
	if len(data) != v.Size() {
		panic(fmt.Sprintf("reference: %d elements for %v", len(data), v))
	}
	copy(b.of(v), data)
}

// of is the memory of a value; nil for nil.
func (b *Backend) of(v *device.Value) []float64 {
	if v == nil {
		return nil
	}
	b.mu.RLock()
	m, ok := b.memory[v.Buffer().Address()]
	b.mu.RUnlock()
	if !ok {
		panic(fmt.Sprintf("reference: the buffer of %v is freed or of another backend", v))
	}
	return m[v.Offset() : v.Offset()+v.Size()]
}

// ints are the elements of an int32 value; nil for nil.
func (b *Backend) ints(v *device.Value) []int {
	if v == nil {
		return nil
	}
	out := make([]int, v.Size())
	for i, x := range b.of(v) {
		out[i] = int(x)
	}
	return out
}

// UploadFloats is part of device.Memory.
func (b *Backend) UploadFloats(dst *device.Value, src []float32) error {
	return upload(b, dst, device.Float32, src)
}

// UploadInts is part of device.Memory.
func (b *Backend) UploadInts(dst *device.Value, src []int32) error {
	return upload(b, dst, device.Int32, src)
}

// DownloadFloats is part of device.Memory.
func (b *Backend) DownloadFloats(dst []float32, src *device.Value) error {
	return download(b, dst, device.Float32, src)
}

// DownloadInts is part of device.Memory.
func (b *Backend) DownloadInts(dst []int32, src *device.Value) error {
	return download(b, dst, device.Int32, src)
}

func upload[T float32 | int32](b *Backend, dst *device.Value, t device.DType, src []T) error {
	if err := fits(dst, t, len(src)); err != nil {
		return err
	}
	m := b.of(dst)
	for i, x := range src {
		m[i] = float64(x)
	}
	return nil
}

func download[T float32 | int32](b *Backend, dst []T, t device.DType, src *device.Value) error {
	if err := fits(src, t, len(dst)); err != nil {
		return err
	}
	for i, x := range b.of(src) {
		dst[i] = T(x)
	}
	return nil
}

func fits(v *device.Value, t device.DType, n int) error {
	if v.Desc().DType != t || v.Size() != n {
		return fmt.Errorf("transfer of %d %v elements with a value of %v", n, t, v)
	}
	return nil
}

// Zero is part of device.Memory.
func (b *Backend) Zero(vs ...*device.Value) {
	for _, v := range vs {
		clear(b.of(v))
	}
}

// Copy is part of device.Memory.
func (b *Backend) Copy(dst, src *device.Value) { copy(b.same(dst, src), b.of(src)) }

// same is the memory of v, which must be of the size of other.
func (b *Backend) same(v, other *device.Value) []float64 {
	if v.Size() != other.Size() {
		panic(fmt.Sprintf("reference: %v and %v differ in size", v, other))
	}
	return b.of(v)
}

// put writes or adds x.
func put(dst *float64, x float64, accumulate bool) {
	if accumulate {
		*dst += x
	} else {
		*dst = x
	}
}
