//go:build gpu

package cuda

import (
	"cmp"
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// Gather is part of device.Rows. A table of floats may be of another float type than Y. An index past the table gives NaN.
func (b *Backend) Gather(a device.GatherArgs) {
	n := a.Index.Size()
	c := b.movement("gather", a.Table, a.Y).own(a.Y).own(a.Table).ints(a.Index)
	c.i64(n).i64(a.TableRows).i64(a.Cols).i64(cmp.Or(a.LDY, a.Cols)).eachPart(n, a.Cols)
}

// movement begins a launch of a kernel that moves elements.
func (b *Backend) movement(kernel string, from, to *device.Value) *call {
	f, t := from.Desc().DType, to.Desc().DType
	if f.Float() != t.Float() {
		panic(fmt.Sprintf("cuda: %s of %v to %v", kernel, from, to))
	}
	return b.pair("rows", kernel, f, t)
}

// fewIndices is the most that GatherBackward compares with each other. More it sorts.
const fewIndices = 2048

// GatherBackward is part of device.Rows. DTable may be of another float type than DY.
func (b *Backend) GatherBackward(a device.GatherBackwardArgs) {
	n, layers := a.Index.Size(), ceil(a.Cols, warpColumns)
	from, to := activations(a.DY), activations(a.DTable)
	if n <= fewIndices {
		c := b.pair("rows", "gather_few", from, to).own(a.DTable).own(a.DY).ints(a.Index)
		c.i64(n).i64(a.TableRows).i64(a.Cols).i64(cmp.Or(a.LDDY, a.Cols)).warps(n, layers)
		return
	}
	var l layout
	sorted, spare, counts := l.part(n*device.WordBytes), l.part(n*device.WordBytes), l.part(orderBytes(n))
	b.withWorkspace(l.bytes, func(p driver.Pointer) {
		b.order(address(a.Index, device.Int32), p+sorted, p+spare, p+counts, n, a.TableRows)
		c := b.pair("rows", "gather_sorted", from, to).own(a.DTable).own(a.DY).ints(a.Index).pointer(p + sorted)
		c.i64(n).i64(a.TableRows).i64(a.Cols).i64(cmp.Or(a.LDDY, a.Cols)).warps(n, layers)
	})
}

// CopyBlock is part of device.Rows. X and Y may be of different float types.
func (b *Backend) CopyBlock(a device.CopyBlockArgs) {
	rows, cols, ldx, ldy := a.Rows, a.Cols, cmp.Or(a.LDX, a.Cols), cmp.Or(a.LDY, a.Cols)
	if ldx == cols && ldy == cols {
		rows, cols = 1, rows*cols
	}
	c := b.movement("copy_block", a.X, a.Y).element(a.Y, a.OffsetY).element(a.X, a.OffsetX)
	c.i64(rows).i64(cols).i64(ldx).i64(ldy).flag(a.Accumulate).eachPart(rows, cols)
}

// pixels are the sizes that the patch kernels take, and their launch.
func (c *call) pixels(a device.PatchifyArgs) {
	rows := a.B * a.Channels * a.Height
	c.i64(rows).i32(a.Channels).i32(a.Height).i32(a.Width).i32(a.Patch).each(32 * rows)
}

// Patchify is part of device.Rows. Images may be of another float type than patches.
func (b *Backend) Patchify(a device.PatchifyArgs) {
	b.pair("rows", "patchify", activations(a.Images), activations(a.Patches)).own(a.Patches).own(a.Images).pixels(a)
}

// Unpatchify is part of device.Rows.
func (b *Backend) Unpatchify(a device.PatchifyArgs) {
	b.pair("rows", "unpatchify", activations(a.Patches), activations(a.Images)).own(a.Images).own(a.Patches).pixels(a)
}

// MeanPool is part of device.Rows.
func (b *Backend) MeanPool(a device.MeanPoolArgs) {
	t := activations(a.X, a.Y)
	c := b.kernel("sums", "mean_pool", t).value(a.Y, t).value(a.X, t).ints(a.Lengths).i64(a.T).i64(a.C)
	c.launch(driver.Grid{X: a.B * ceil(a.C, warpColumns), ThreadsX: threads})
}

// MeanPoolBackward is part of device.Rows.
func (b *Backend) MeanPoolBackward(a device.MeanPoolBackwardArgs) {
	t := activations(a.DX, a.DY)
	c := b.kernel("rows", "mean_pool_backward", t).value(a.DX, t).value(a.DY, t).ints(a.Lengths)
	c.i64(a.B).i64(a.T).i64(a.C).flag(a.Accumulate).eachPart(a.B*a.T, a.C)
}

// Grid is part of device.Rows.
func (b *Backend) Grid(a device.GridArgs) {
	t, n := activations(a.Y), a.Down.Size()
	c := b.kernel("rows", "grid", t).value(a.Y, t).floats(a.Table).ints(a.Down).ints(a.Across).ints(a.Heights).ints(a.Widths)
	c.i64(n).i64(a.Cols).i32(a.Side).eachPart(n, a.Cols)
}

// GridBackward is part of device.Rows.
func (b *Backend) GridBackward(a device.GridBackwardArgs) {
	t := activations(a.DY)
	c := b.kernel("rows", "grid_backward", t).floats(a.DTable).value(a.DY, t).ints(a.Down).ints(a.Across).ints(a.Heights).ints(a.Widths)
	c.i64(a.Down.Size()).i64(a.Cols).i32(a.Side).launch(driver.Grid{X: a.Side * a.Side, Y: ceil(a.Cols, warpColumns), ThreadsX: threads})
}
