//go:build gpu

package cuda

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

type buffer struct {
	p     driver.Pointer
	words int
	copy  atomic.Pointer[narrow] // of all of it, if products have asked for one
}

// narrow is a copy in bfloat16.
type narrow struct {
	p     driver.Pointer
	fresh atomic.Bool // the buffer may not have been written since the copy
}

// address is 0 where there is no copy.
func (n *narrow) address() driver.Pointer {
	if n == nil {
		return 0
	}
	return n.p
}

// renewed says that a kernel has written the copy too.
func (n *narrow) renewed() {
	if n != nil {
		n.fresh.Store(true)
	}
}

func (b *buffer) Words() int       { return b.words }
func (b *buffer) Address() uintptr { return uintptr(b.p) }

// Alloc is part of device.Memory.
func (b *Backend) Alloc(words int) (device.Buffer, error) {
	p, err := b.device.Alloc(words * device.WordBytes)
	if err != nil {
		return nil, err
	}
	b.held.Add(int64(words))
	return &buffer{p: p, words: words}, b.compute.Clear(p, words*device.WordBytes)
}

// Free is part of device.Memory.
func (b *Backend) Free(m device.Buffer) error {
	own := m.(*buffer)
	err := b.device.Free(own.p)
	b.held.Add(-int64(own.words))
	if c := b.products.drop(own); c != nil {
		b.copied.Add(-int64(own.words))
		err = errors.Join(err, b.device.Free(c.p))
	}
	return err
}

// FreeBytes is part of device.Separate.
func (b *Backend) FreeBytes() (int64, error) {
	free, _, err := b.device.MemoryInfo()
	return free, err
}

// bytesOf is the memory of a slice.
func bytesOf[T float32 | int32](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*device.WordBytes)
}

func sized(v *device.Value, n int, fits bool) error {
	if !fits || v.Size() != n {
		return fmt.Errorf("transfer of %d elements with a value of %v", n, v)
	}
	return nil
}

// UploadFloats is part of device.Memory. A value of bfloat16 takes the nearest numbers.
func (b *Backend) UploadFloats(dst *device.Value, src []float32) error {
	if err := sized(dst, len(src), dst.Desc().DType.Float()); err != nil {
		return err
	}
	if dst.Desc().DType == device.Float32 {
		return b.upload(address(dst, device.Float32), bytesOf(src))
	}
	to := address(dst, device.BFloat16)
	narrow := func(at, n int, from driver.Pointer) {
		b.kernel("memory", "narrow", single).pointer(to + driver.Pointer(2*at)).pointer(from).i64(n).each(n)
	}
	if b.take(bytesOf(src), func(from driver.Pointer) { narrow(0, len(src), from) }) {
		return nil
	}
	return b.staging.through(len(src), func(at, n int, wide driver.Pointer) error {
		err := b.staging.upload(wide, bytesOf(src[at:at+n]))
		if err == nil {
			narrow(at, n, wide)
		}
		return err
	})
}

// UploadInts is part of device.Memory.
func (b *Backend) UploadInts(dst *device.Value, src []int32) error {
	if err := sized(dst, len(src), dst.Desc().DType == device.Int32); err != nil {
		return err
	}
	return b.upload(address(dst, device.Int32), bytesOf(src))
}

// upload copies src, from the device's own memory if it has been sent there.
func (b *Backend) upload(to driver.Pointer, src []byte) error {
	if b.take(src, func(from driver.Pointer) { b.fail(b.compute.Copy(to, from, len(src))) }) {
		return nil
	}
	return b.staging.upload(to, src)
}

// DownloadFloats is part of device.Memory.
func (b *Backend) DownloadFloats(dst []float32, src *device.Value) error {
	if err := sized(src, len(dst), src.Desc().DType.Float()); err != nil {
		return err
	}
	if src.Desc().DType == device.Float32 {
		return b.staging.download(bytesOf(dst), reading(src, device.Float32))
	}
	from := reading(src, device.BFloat16)
	return b.staging.through(len(dst), func(at, n int, wide driver.Pointer) error {
		b.kernel("memory", "widen", single).pointer(wide).pointer(from + driver.Pointer(2*at)).i64(n).each(n)
		return b.staging.download(bytesOf(dst[at:at+n]), wide)
	})
}

// DownloadInts is part of device.Memory.
func (b *Backend) DownloadInts(dst []int32, src *device.Value) error {
	if err := sized(src, len(dst), src.Desc().DType == device.Int32); err != nil {
		return err
	}
	return b.staging.download(bytesOf(dst), reading(src, device.Int32))
}

// Zero is part of device.Memory. Many values of whole words are one kernel's work.
func (b *Backend) Zero(vs ...*device.Value) {
	type words struct {
		p driver.Pointer
		place
	}
	var list []words
	blocks := 0
	for _, v := range vs {
		switch t := v.Desc().DType; {
		case v.Size() == 0:
		case len(vs) == 1 || t.Bytes() != device.WordBytes:
			b.fail(b.compute.Clear(address(v, t), v.Size()*t.Bytes()))
		default:
			list = append(list, words{address(v, t), deal(v, &blocks)})
		}
	}
	if blocks == 0 {
		return
	}
	b.withWorkspace(listBytes(list), func(p driver.Pointer) {
		b.fail(send(b, p, list))
		b.kernel("optimiser", "clear", single).pointer(p).i32(len(list)).launch(driver.Grid{X: blocks, ThreadsX: threads})
	})
}

// Copy is part of device.Memory. Of two float types the copy has the nearest numbers.
func (b *Backend) Copy(dst, src *device.Value) {
	to, from := dst.Desc().DType, src.Desc().DType
	if dst.Size() != src.Size() || to.Float() != from.Float() {
		panic(fmt.Sprintf("cuda: Copy of %v and %v", dst, src))
	}
	n := src.Size()
	switch {
	case to == from:
		b.fail(b.compute.Copy(address(dst, to), reading(src, from), n*to.Bytes()))
	case to == device.BFloat16:
		b.kernel("memory", "narrow", single).value(dst, to).pointer(reading(src, from)).i64(n).each(n)
	default:
		b.kernel("memory", "widen", single).value(dst, to).pointer(reading(src, from)).i64(n).each(n)
	}
}
