//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// LayerNorm is part of device.Norm.
func (b *Backend) LayerNorm(a device.LayerNormArgs) {
	t := activations(a.X, a.Y)
	g := b.groupsFor(a.Rows, a.Cols, t, a.X, a.Y, a.W, a.B)
	perRow(a.Rows, a.Mean, a.RStd)
	b.kernel("norm", "layer_norm", t).value(a.Y, t).floats(a.Mean).floats(a.RStd).value(a.X, t).floats(a.W).floats(a.B).
		i64(a.Rows).i32(a.Cols).f32(a.Eps).i32(g.warps).flag(g.even).rows(g)
}

// RMSNorm is part of device.Norm.
func (b *Backend) RMSNorm(a device.RMSNormArgs) {
	t := activations(a.X, a.Y)
	g := b.groupsFor(a.Rows, a.Cols, t, a.X, a.Y, a.W)
	perRow(a.Rows, a.RStd)
	b.kernel("norm", "rms_norm", t).value(a.Y, t).floats(a.RStd).value(a.X, t).floats(a.W).
		i64(a.Rows).i32(a.Cols).f32(a.Eps).i32(g.warps).flag(g.even).rows(g)
}

// L2Normalize is part of device.Norm.
func (b *Backend) L2Normalize(a device.L2NormalizeArgs) {
	t := activations(a.X, a.Y)
	g := b.groupsFor(a.Rows, a.Cols, t, a.X, a.Y)
	perRow(a.Rows, a.Inv)
	b.kernel("norm", "l2_normalize", t).value(a.Y, t).floats(a.Inv).value(a.X, t).
		i64(a.Rows).i32(a.Cols).f32(a.Eps).i32(g.warps).flag(g.even).rows(g)
}

// L2NormalizeBackward is part of device.Norm.
func (b *Backend) L2NormalizeBackward(a device.L2NormalizeBackwardArgs) {
	t := activations(a.Y, a.DY, a.DX)
	g := b.groupsFor(a.Rows, a.Cols, t, a.Y, a.DY, a.DX)
	perRow(a.Rows, a.Inv)
	b.kernel("norm", "l2_normalize_backward", t).value(a.DX, t).value(a.Y, t).value(a.DY, t).floats(a.Inv).
		i64(a.Rows).i32(a.Cols).f32(1 / a.Eps).i32(g.warps).flag(g.even).flag(a.Accumulate).rows(g)
}

// LayerNormBackward is part of device.Norm.
func (b *Backend) LayerNormBackward(a device.LayerNormBackwardArgs) {
	t := activations(a.X, a.DY, a.DX)
	g := b.groupsFor(a.Rows, a.Cols, t, a.X, a.DY, a.DX, a.W)
	perRow(a.Rows, a.Mean, a.RStd)
	b.summing(g, a.Cols, a.DW, a.DB, func(g groups, dw, db driver.Pointer) {
		b.kernel("norm", "layer_norm_backward", t).value(a.DX, t).pointer(dw).pointer(db).value(a.X, t).value(a.DY, t).floats(a.W).floats(a.Mean).floats(a.RStd).
			i64(a.Rows).i32(a.Cols).i32(g.warps).flag(g.even).flag(a.Accumulate).rows(g)
	})
}

// RMSNormBackward is part of device.Norm.
func (b *Backend) RMSNormBackward(a device.RMSNormBackwardArgs) {
	t := activations(a.X, a.DY, a.DX)
	g := b.groupsFor(a.Rows, a.Cols, t, a.X, a.DY, a.DX, a.W)
	perRow(a.Rows, a.RStd)
	b.summing(g, a.Cols, a.DW, nil, func(g groups, dw, _ driver.Pointer) {
		b.kernel("norm", "rms_norm_backward", t).value(a.DX, t).pointer(dw).value(a.X, t).value(a.DY, t).floats(a.W).floats(a.RStd).
			i64(a.Rows).i32(a.Cols).i32(g.warps).flag(g.even).flag(a.Accumulate).rows(g)
	})
}

// summing runs a kernel whose blocks leave their sums of columns, (blocks, cols), for dw and db, which receive the sums of those. Either may be nil.
func (b *Backend) summing(g groups, cols int, dw, db *device.Value, run func(g groups, dw, db driver.Pointer)) {
	if g.rows == 0 {
		return
	}
	perRow(cols, dw, db)
	g.grid.X = min(g.most, rowThreads/g.grid.ThreadsX*b.device.Processors) // as many as run at once: their registers allow no more
	g.grid.Shared = cols * device.WordBytes
	if g.warps == g.grid.ThreadsX/32 {
		g.grid.Shared = 0
	}
	var l layout
	sumsW, sumsB := l.floats(g.grid.X*cols), l.floats(g.grid.X*cols)
	b.withWorkspace(l.bytes, func(p driver.Pointer) {
		if sumsW, sumsB = sumsW+p, sumsB+p; dw == nil {
			sumsW = 0
		}
		if db == nil {
			sumsB = 0
		}
		run(g, sumsW, sumsB)
		if dw != nil || db != nil {
			b.kernel("norm", "add_columns", single).floats(dw).pointer(sumsW).floats(db).pointer(sumsB).i32(g.grid.X).i32(cols).
				launch(driver.Grid{X: (cols + 31) / 32, Y: 2, ThreadsX: threads})
		}
	})
}
