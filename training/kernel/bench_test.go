package kernel

import (
	"fmt"
	"testing"
	"time"
)

// measure reports the best run beside the mean, which on a shared machine says more about the kernel.
func measure(b *testing.B, flops float64, f func()) {
	b.Helper()
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Microseconds()), "best-us")
	if flops > 0 {
		b.ReportMetric(flops/best.Seconds()/1e9, "GFLOP/s")
	}
}

// BenchmarkGemm prints GFLOP/s of square products and of the shapes of a small vision transformer, on one thread.
func BenchmarkGemm(b *testing.B) {
	shapes := []gemmCase{{256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {4160, 192, 64}, {4160, 64, 64}, {4160, 256, 64}, {4160, 64, 256}, {1, 2048, 512}, {8, 2048, 512}}
	for _, level := range levels()[1:] {
		for _, c := range shapes {
			for v, name := range []string{"NN", "TN", "NT"} {
				if c.m != 512 && v > 0 && c.m != 4160 {
					continue
				}
				b.Run(fmt.Sprintf("%v/%dx%dx%d%s", level, c.m, c.n, c.k, name), func(b *testing.B) {
					e := newEngine(b, 1, level)
					s := newSource(1)
					a := GemmArgs{M: c.m, N: c.n, K: c.k, A: s.vec(c.m * c.k), B: s.vec(c.k * c.n), C: make([]float32, c.m*c.n), TransA: v == 1, TransB: v == 2}
					measure(b, 2*float64(c.m)*float64(c.n)*float64(c.k), func() { e.Gemm(a) })
				})
			}
		}
	}
}
