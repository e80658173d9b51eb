//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// Add is part of device.Elementwise.
func (b *Backend) Add(dst, x, y *device.Value) {
	t := activations(dst, x, y)
	b.kernel("elementwise", "add", t).value(dst, t).value(x, t).value(y, t).i64(same("Add", dst, x, y)).each(dst.Size())
}

// Scale is part of device.Elementwise.
func (b *Backend) Scale(dst, x *device.Value, alpha float32) {
	t := activations(dst, x)
	b.kernel("elementwise", "scale", t).value(dst, t).value(x, t).f32(alpha).i64(same("Scale", dst, x)).each(dst.Size())
}

// Axpy is part of device.Elementwise.
func (b *Backend) Axpy(dst, x *device.Value, alpha float32) {
	n := same("Axpy", dst, x)
	b.pair("elementwise", "axpy", activations(x), activations(dst)).own(dst).own(x).f32(alpha).i64(n).eachPart(1, n)
}

// Activate is part of device.Elementwise.
func (b *Backend) Activate(a device.ActivateArgs) {
	t, n := activations(a.X, a.Y), same("Activate", a.X, a.Y)
	b.kernel("elementwise", "activate", t).value(a.Y, t).value(a.X, t).i32(int(a.Activation)).i64(n).each(n)
}

// ActivateBackward is part of device.Elementwise.
func (b *Backend) ActivateBackward(a device.ActivateBackwardArgs) {
	t, n := activations(a.X, a.DY, a.DX), same("ActivateBackward", a.X, a.DY, a.DX)
	b.kernel("elementwise", "activate_backward", t).value(a.DX, t).value(a.X, t).value(a.DY, t).i32(int(a.Activation)).flag(a.Accumulate).i64(n).each(n)
}

// SwiGLU is part of device.Elementwise.
func (b *Backend) SwiGLU(a device.SwiGLUArgs) {
	t := activations(a.Gate, a.Up, a.Y)
	c := b.kernel("elementwise", "swiglu", t).value(a.Y, t)
	c.halves(a.Gate, a.Up, a.Cols).i64(width(a.Up, a.Cols)).i64(a.Rows).i64(a.Cols).eachPart(a.Rows, a.Cols)
}

// SwiGLUBackward is part of device.Elementwise.
func (b *Backend) SwiGLUBackward(a device.SwiGLUBackwardArgs) {
	t := activations(a.Gate, a.Up, a.DY, a.DGate, a.DUp)
	c := b.kernel("elementwise", "swiglu_backward", t).halves(a.DGate, a.DUp, a.Cols).halves(a.Gate, a.Up, a.Cols)
	c.value(a.DY, t).i64(width(a.Up, a.Cols)).i64(a.Rows).i64(a.Cols).eachPart(a.Rows, a.Cols)
}

// halves are the addresses of gate and up, which may lie side by side in one matrix.
func (c *call) halves(gate, up *device.Value, cols int) *call {
	if up == nil {
		return c.own(gate).element(gate, cols)
	}
	return c.own(gate).own(up)
}

// width is that of the matrices that hold gate and up.
func width(up *device.Value, cols int) int {
	if up == nil {
		return 2 * cols
	}
	return cols
}

// AddRows is part of device.Elementwise. P may be of another float type than X and Y.
func (b *Backend) AddRows(a device.AddRowsArgs) {
	t := activations(a.X, a.Y)
	if a.Period*a.Cols == 1 {
		b.pair("elementwise", "add_one", activations(a.P), t).value(a.Y, t).value(a.X, t).own(a.P).i64(a.Rows).each(a.Rows)
		return
	}
	c := b.pair("elementwise", "add_rows", activations(a.P), t).value(a.Y, t).value(a.X, t).own(a.P)
	c.i64(a.Period).i64(a.Rows).i64(a.Cols).eachPart(a.Rows, a.Cols)
}

// SumRows is part of device.Elementwise. DP may be of another float type than X. Where the blocks of all columns are too few for the device, each
// sums a slab of the rows.
func (b *Backend) SumRows(a device.SumRowsArgs) {
	from, to := activations(a.X), activations(a.DP)
	if a.Period*a.Cols == 1 {
		b.dot(a.X, nil, func(partial driver.Pointer, n int) {
			b.kernel("sums", "add_sum", to).own(a.DP).pointer(partial).i32(n).launch(driver.Grid{ThreadsX: threads})
		})
		return
	}
	const least = 64 // rows of a slab
	blocks, rows := a.Period*ceil(a.Cols, warpColumns), ceil(a.Rows, a.Period)
	slabs := max(1, min(4*b.device.Processors/blocks, ceil(rows, least)))
	slab := ceil(rows, slabs)
	slabs = ceil(rows, max(1, slab))
	sum := func(partial driver.Pointer) {
		c := b.pair("sums", "sum_rows", from, to).own(a.DP).pointer(partial).own(a.X)
		c.i64(a.Rows).i64(a.Cols).i64(a.Period).i64(slab).launch(driver.Grid{X: blocks, Y: slabs, ThreadsX: threads})
	}
	if slabs == 1 {
		sum(0)
		return
	}
	n := a.Period * a.Cols
	b.withWorkspace(slabs*n*device.WordBytes, func(partial driver.Pointer) {
		sum(partial)
		b.kernel("sums", "add_slabs", to).own(a.DP).pointer(partial).i64(n).i32(slabs).each(n)
	})
}

// dot asks for n sums of parts of x . y, or of x where y is nil, and calls f, which asks for their sum.
func (b *Backend) dot(x, y *device.Value, f func(partial driver.Pointer, n int)) {
	t := activations(x, y)
	n := max(1, min(ceil(x.Size(), threads*part), 4*b.device.Processors))
	b.withWorkspace(n*device.WordBytes, func(partial driver.Pointer) {
		b.kernel("sums", "dot", t).pointer(partial).value(x, t).value(y, t).i64(x.Size()).launch(driver.Grid{X: n, ThreadsX: threads})
		f(partial, n)
	})
}

// ScaleBy is part of device.Elementwise.
func (b *Backend) ScaleBy(a device.ScaleByArgs) {
	t, n := activations(a.X, a.Y), same("ScaleBy", a.X, a.Y)
	b.kernel("elementwise", "scale_by", t).value(a.Y, t).value(a.X, t).floats(a.S).i32(int(a.Factor)).flag(a.Accumulate).i64(n).each(n)
}

// ScaleByBackward is part of device.Elementwise.
func (b *Backend) ScaleByBackward(a device.ScaleByBackwardArgs) {
	same("ScaleByBackward", a.X, a.DY)
	b.dot(a.X, a.DY, func(partial driver.Pointer, n int) {
		b.kernel("sums", "add_slope", single).floats(a.DS).floats(a.S).pointer(partial).i32(int(a.Factor)).i32(n).launch(driver.Grid{ThreadsX: threads})
	})
}
