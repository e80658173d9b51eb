package kernel

import (
	"fmt"
	"math"
	"testing"
)

// layerNormRef takes x, then w, then b.
func layerNormRef(rows, cols int, eps float64, x []float64) []float64 {
	w, b := x[rows*cols:rows*cols+cols], x[rows*cols+cols:]
	out := make([]float64, rows*cols)
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		var mean, variance float64
		for _, v := range row {
			mean += v / float64(cols)
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(cols)
		}
		for i, v := range row {
			out[r*cols+i] = (v-mean)/math.Sqrt(variance+eps)*w[i] + b[i]
		}
	}
	return out
}

// rmsNormRef takes x, then w.
func rmsNormRef(rows, cols int, eps float64, x []float64) []float64 {
	w := x[rows*cols:]
	out := make([]float64, rows*cols)
	for r := range rows {
		row := x[r*cols : (r+1)*cols]
		var square float64
		for _, v := range row {
			square += v * v / float64(cols)
		}
		for i, v := range row {
			out[r*cols+i] = v / math.Sqrt(square+eps) * w[i]
		}
	}
	return out
}

func TestLayerNormAndItsGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(11)
		for _, c := range [][2]int{{1, 8}, {3, 17}, {2, 64}, {5, 75}} {
			rows, cols := c[0], c[1]
			n := rows * cols
			x, dy := s.vec(n+2*cols), s.vec(n)
			a := LayerNormArgs{Rows: rows, Cols: cols, X: x, W: x[n:], B: x[n+cols:], Y: make([]float32, n), Mean: make([]float32, rows), RStd: make([]float32, rows), Eps: 1e-5}
			e.LayerNorm(a)
			f := func(x []float64) []float64 { return layerNormRef(rows, cols, 1e-5, x) }
			check(t, fmt.Sprint("value ", c), a.Y, f(wide(x)), 2e-6)
			want := gradient(wide(x), dy, f)
			b := LayerNormBackwardArgs{Rows: rows, Cols: cols, X: x, W: a.W, Mean: a.Mean, RStd: a.RStd, DY: dy, DX: make([]float32, n), DW: ones(cols), DB: ones(cols)}
			e.LayerNormBackward(b)
			check(t, fmt.Sprint("dx ", c), b.DX, want[:n], 2e-5)
			check(t, fmt.Sprint("dw ", c), b.DW, plus(want[n:n+cols]), 1e-5)
			check(t, fmt.Sprint("db ", c), b.DB, plus(want[n+cols:]), 1e-5)
			e.LayerNormBackward(LayerNormBackwardArgs{Rows: rows, Cols: cols, X: x, W: a.W, Mean: a.Mean, RStd: a.RStd, DY: dy, DX: b.DX, Accumulate: true})
			for i, v := range want[:n] {
				want[i] = 2 * v
			}
			check(t, fmt.Sprint("accumulated dx ", c), b.DX, want[:n], 2e-5)
		}
	})
}

func TestRMSNormAndItsGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(12)
		for _, c := range [][2]int{{1, 2}, {3, 17}, {5, 75}} {
			rows, cols := c[0], c[1]
			n := rows * cols
			x, dy := s.vec(n+cols), s.vec(n)
			a := RMSNormArgs{Rows: rows, Cols: cols, X: x, W: x[n:], Y: make([]float32, n), RStd: make([]float32, rows), Eps: 1e-6}
			e.RMSNorm(a)
			f := func(x []float64) []float64 { return rmsNormRef(rows, cols, 1e-6, x) }
			check(t, fmt.Sprint("value ", c), a.Y, f(wide(x)), 2e-6)
			want := gradient(wide(x), dy, f)
			dx, dw := ones(n), ones(cols)
			e.RMSNormBackward(RMSNormBackwardArgs{Rows: rows, Cols: cols, X: x, W: a.W, RStd: a.RStd, DY: dy, DX: dx, DW: dw, Accumulate: true})
			check(t, fmt.Sprint("dx ", c), dx, plus(want[:n]), 1e-5)
			check(t, fmt.Sprint("dw ", c), dw, plus(want[n:]), 1e-5)
		}
	})
}

func TestNormGradientsAreTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	const rows, cols = 1037, 67
	sameBits(t, func(e *Engine) []float32 {
		s := newSource(13)
		n := rows * cols
		x, w, dy := s.vec(n), s.vec(cols), s.vec(n)
		y, dx, mean, rstd := make([]float32, n), make([]float32, n), make([]float32, rows), make([]float32, rows)
		dw, db := make([]float32, cols), make([]float32, cols)
		e.LayerNorm(LayerNormArgs{Rows: rows, Cols: cols, X: x, W: w, Y: y, Mean: mean, RStd: rstd, Eps: 1e-5})
		e.LayerNormBackward(LayerNormBackwardArgs{Rows: rows, Cols: cols, X: x, W: w, Mean: mean, RStd: rstd, DY: dy, DX: dx, DW: dw, DB: db})
		e.SumRows(SumRowsArgs{Rows: rows, Cols: cols, Period: 1, X: x, DP: db})
		return append(append(append(y, dx...), dw...), db...)
	})
}
