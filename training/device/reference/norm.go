package reference

import (
	"math"

	"tempera/training/device"
)

// rowOf is row r of a matrix; nil for nil.
func rowOf(x []float64, r, cols int) []float64 {
	if x == nil {
		return nil
	}
	return x[r*cols : (r+1)*cols]
}

// LayerNorm is part of device.Norm.
func (b *Backend) LayerNorm(a device.LayerNormArgs) {
	w, bias, mean, rstd := b.of(a.W), b.of(a.B), b.of(a.Mean), b.of(a.RStd)
	for r := range a.Rows {
		x, y := rowOf(b.of(a.X), r, a.Cols), rowOf(b.of(a.Y), r, a.Cols)
		var sum, squares float64
		for _, v := range x {
			sum += v
		}
		m := sum / float64(a.Cols)
		for _, v := range x {
			squares += (v - m) * (v - m)
		}
		s := 1 / math.Sqrt(squares/float64(a.Cols)+float64(a.Eps))
		mean[r], rstd[r] = m, s
		for c, v := range x {
			y[c] = (v - m) * s * w[c]
			if bias != nil {
				y[c] += bias[c]
			}
		}
	}
}

// LayerNormBackward is part of device.Norm.
func (b *Backend) LayerNormBackward(a device.LayerNormBackwardArgs) {
	b.normBackward(a, b.of(a.Mean))
}

// normBackward serves both norms: without a mean, the mean is no function of x.
func (b *Backend) normBackward(a device.LayerNormBackwardArgs, mean []float64) {
	w, rstd, dw, db := b.of(a.W), b.of(a.RStd), b.of(a.DW), b.of(a.DB)
	for r := range a.Rows {
		x, dy, dx := rowOf(b.of(a.X), r, a.Cols), rowOf(b.of(a.DY), r, a.Cols), rowOf(b.of(a.DX), r, a.Cols)
		normal := make([]float64, a.Cols) // x before the gain
		var sum, along float64
		for c, v := range x {
			if mean != nil {
				v -= mean[r]
			}
			normal[c] = v * rstd[r]
			sum += dy[c] * w[c]
			along += dy[c] * w[c] * normal[c]
		}
		if mean == nil {
			sum = 0
		}
		for c := range x {
			d := dy[c]
			if dw != nil {
				dw[c] += d * normal[c]
			}
			if db != nil {
				db[c] += d
			}
			if dx != nil {
				put(&dx[c], rstd[r]*(d*w[c]-sum/float64(a.Cols)-normal[c]*along/float64(a.Cols)), a.Accumulate)
			}
		}
	}
}

// RMSNorm is part of device.Norm.
func (b *Backend) RMSNorm(a device.RMSNormArgs) {
	w, rstd := b.of(a.W), b.of(a.RStd)
	for r := range a.Rows {
		x, y := rowOf(b.of(a.X), r, a.Cols), rowOf(b.of(a.Y), r, a.Cols)
		var squares float64
		for _, v := range x {
			squares += v * v
		}
		rstd[r] = 1 / math.Sqrt(squares/float64(a.Cols)+float64(a.Eps))
		for c, v := range x {
			y[c] = v * rstd[r] * w[c]
		}
	}
}

// RMSNormBackward is part of device.Norm.
func (b *Backend) RMSNormBackward(a device.RMSNormBackwardArgs) {
	b.normBackward(device.LayerNormBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, X: a.X, W: a.W, RStd: a.RStd, DY: a.DY, DX: a.DX, DW: a.DW, Accumulate: a.Accumulate,
	}, nil)
}

// L2Normalize is part of device.Norm.
func (b *Backend) L2Normalize(a device.L2NormalizeArgs) {
	inv := b.of(a.Inv)
	for r := range a.Rows {
		x, y := rowOf(b.of(a.X), r, a.Cols), rowOf(b.of(a.Y), r, a.Cols)
		var squares float64
		for _, v := range x {
			squares += v * v
		}
		inv[r] = 1 / math.Max(math.Sqrt(squares), float64(a.Eps))
		for c, v := range x {
			y[c] = v * inv[r]
		}
	}
}

// L2NormalizeBackward is part of device.Norm. Below Eps the length is a constant.
func (b *Backend) L2NormalizeBackward(a device.L2NormalizeBackwardArgs) {
	inv := b.of(a.Inv)
	for r := range a.Rows {
		y, dy, dx := rowOf(b.of(a.Y), r, a.Cols), rowOf(b.of(a.DY), r, a.Cols), rowOf(b.of(a.DX), r, a.Cols)
		var along float64
		if a.Eps == 0 || inv[r] < 1/float64(a.Eps) {
			for c := range y {
				along += y[c] * dy[c]
			}
		}
		for c := range y {
			put(&dx[c], inv[r]*(dy[c]-y[c]*along), a.Accumulate)
		}
	}
}
