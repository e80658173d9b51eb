//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// part is the elements of a row that a thread handles at once, as in rows.cuh.
const part = 8

// warpColumns are those that a warp handles at once.
const warpColumns = 32 * part

// pair begins a launch of a kernel that reads one type and writes another. Integers move as floats do.
func (b *Backend) pair(module, kernel string, from, to device.DType) *call {
	if moved(from) == device.BFloat16 {
		return b.kernel(module, kernel+"_bf16", moved(to))
	}
	return b.kernel(module, kernel+"_f32", moved(to))
}

func moved(t device.DType) device.DType {
	if t == device.Int32 {
		return device.Float32
	}
	return t
}

// own is the address of a value of any type.
func (c *call) own(v *device.Value) *call { return c.value(v, v.Desc().DType) }

// element is the address of an element of a value of any type.
func (c *call) element(v *device.Value, at int) *call {
	t := v.Desc().DType
	return c.pointer(address(v, t) + driver.Pointer(at*t.Bytes()))
}

// eachPart asks for the kernel with a thread for each part of a row.
func (c *call) eachPart(rows, cols int) { c.each(rows * ceil(cols, part)) }

// eachWarp asks for the kernel with a warp for each of n things.
func (c *call) eachWarp(n int) { c.warps(n, 1) }

// warps asks for the kernel with a warp for each of n things, in each of some layers of blocks.
func (c *call) warps(n, layers int) {
	if n == 0 {
		calls.Put(c)
		return
	}
	c.launch(driver.Grid{X: ceil(n, threads/32), Y: layers, ThreadsX: threads})
}
