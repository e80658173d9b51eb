package kernel

import (
	"testing"
	"time"
)

func TestTileRateIsNotBelowTheRateOfProducts(t *testing.T) {
	e := newEngine(t, 1, Auto)
	const n = 96
	x, c := make([]float32, n*n), make([]float32, n*n)
	product, peak := 0.0, 0.0
	for range 20 {
		d := fastest(10, func() { e.Gemm(GemmArgs{M: n, N: n, K: n, A: x, B: x, C: c}) })
		product, peak = max(product, 2*n*n*n/d.Seconds()), max(peak, e.TileRate(5))
	}
	if product > 1.15*peak || product < 0.05*peak {
		t.Fatalf("products run at %.3g FLOP/s, the peak is %.3g", product, peak)
	}
}

// fastest is the least time of n runs.
func fastest(n int, f func()) time.Duration {
	best := time.Hour
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}
