package device

import (
	"fmt"
	"unsafe"

	"tempera/training/kernel"
)

// CPU is the backend on kernel.Engine. Kernels have run when a method returns.
type CPU struct {
	engine *kernel.Engine
	heap   Heap
}

var (
	_ Backend     = (*CPU)(nil)
	_ Addressable = (*CPU)(nil)
)

// NewCPU is a backend on an engine, with memory of the Go heap. The engine must outlive it.
func NewCPU(e *kernel.Engine) *CPU { return NewCPUOn(e, HostHeap()) }

// NewCPUOn is a CPU backend on another heap.
func NewCPUOn(e *kernel.Engine, h Heap) *CPU { return &CPU{engine: e, heap: h} }

// Engine is the engine that runs the kernels.
func (c *CPU) Engine() *kernel.Engine { return c.engine }

// Name is part of Memory.
func (c *CPU) Name() string {
	return fmt.Sprintf("cpu (%v, %d threads)", c.engine.Level(), c.engine.Threads())
}

// Alloc is part of Memory.
func (c *CPU) Alloc(words int) (Buffer, error) { return c.heap.Alloc(words) }

// Free is part of Memory.
func (c *CPU) Free(b Buffer) error { return c.heap.Free(b) }

// Leased is part of Leasing.
func (c *CPU) Leased(int64) int64 { return c.engine.ScratchBytes() }

// Sync is part of Memory.
func (c *CPU) Sync() error { return nil }

// f is the memory of a float32 value; nil for nil.
func (c *CPU) f(v *Value) []float32 {
	if v == nil {
		return nil
	}
	if v.desc.DType != Float32 {
		panic(fmt.Sprintf("device: %v where floats are needed", v))
	}
	return c.words(v)
}

// i is the memory of an int32 value; nil for nil. The two types have the same size and alignment.
func (c *CPU) i(v *Value) []int32 {
	if v == nil {
		return nil
	}
	if v.desc.DType != Int32 {
		panic(fmt.Sprintf("device: %v where integers are needed", v))
	}
	w := c.words(v)
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(w))), len(w))
}

func (c *CPU) words(v *Value) []float32 {
	n := v.Size()
	return c.heap.Words(v.buffer)[v.offset : v.offset+n : v.offset+n]
}

// View is part of Addressable.
func (c *CPU) View(v *Value) []float32 { return c.f(v) }

// UploadFloats is part of Memory.
func (c *CPU) UploadFloats(dst *Value, src []float32) error {
	if err := transfer(dst, Float32, len(src)); err != nil {
		return err
	}
	copy(c.f(dst), src)
	return nil
}

// UploadInts is part of Memory.
func (c *CPU) UploadInts(dst *Value, src []int32) error {
	if err := transfer(dst, Int32, len(src)); err != nil {
		return err
	}
	copy(c.i(dst), src)
	return nil
}

// DownloadFloats is part of Memory.
func (c *CPU) DownloadFloats(dst []float32, src *Value) error {
	if err := transfer(src, Float32, len(dst)); err != nil {
		return err
	}
	copy(dst, c.f(src))
	return nil
}

// DownloadInts is part of Memory.
func (c *CPU) DownloadInts(dst []int32, src *Value) error {
	if err := transfer(src, Int32, len(dst)); err != nil {
		return err
	}
	copy(dst, c.i(src))
	return nil
}

func transfer(v *Value, t DType, n int) error {
	if v.desc.DType != t || v.Size() != n {
		return fmt.Errorf("transfer of %d %v elements with a value of %v", n, t, v)
	}
	return nil
}

// Zero is part of Memory.
func (c *CPU) Zero(vs ...*Value) {
	for _, v := range vs {
		clear(c.words(v))
	}
}

// Copy is part of Memory.
func (c *CPU) Copy(dst, src *Value) {
	mustMatch("Copy", dst, src)
	copy(c.words(dst), c.words(src))
}

func mustMatch(name string, a, b *Value) {
	if a.Size() != b.Size() || a.desc.DType != b.desc.DType {
		panic(fmt.Sprintf("device: %s of %v and %v", name, a, b))
	}
}
