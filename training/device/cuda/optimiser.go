//go:build gpu

package cuda

import (
	"cmp"
	"encoding/binary"
	"math"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// AdamW is part of device.Optimiser. It writes the copy of P that products read as well.
func (b *Backend) AdamW(a device.AdamWArgs) {
	if a.Step < 1 {
		panic("cuda: the first step of AdamW is 1")
	}
	n := same("AdamW", a.P, a.G, a.M, a.V)
	rate := a.LR / (1 - math.Pow(a.Beta1, float64(a.Step)))
	root := 1 / math.Sqrt(1-math.Pow(a.Beta2, float64(a.Step)))
	c := b.kernel("optimiser", "adamw", single).floats(a.P).floats(a.G).floats(a.M).floats(a.V).pointer(copyOf(a.P).address())
	for _, x := range []float64{cmp.Or(a.GradScale, 1), a.Beta1, 1 - a.Beta1, a.Beta2, 1 - a.Beta2, rate, root, a.Eps, 1 - a.LR*a.Decay} {
		c.f32(float32(x))
	}
	c.i64(n).each(n)
	copyOf(a.P).renewed()
}

// EMA is part of device.Optimiser.
func (b *Backend) EMA(dst, x *device.Value, decay float32) {
	n := same("EMA", dst, x)
	b.kernel("optimiser", "ema", single).floats(dst).pointer(reading(x, device.Float32)).f32(decay).f32(float32(1 - float64(decay))).i64(n).each(n)
}

// Clamp is part of device.Optimiser.
func (b *Backend) Clamp(v *device.Value, lo, hi float32) {
	n := v.Size()
	b.kernel("optimiser", "clamp", single).floats(v).f32(lo).f32(hi).i64(n).each(n)
}

// blocksOf is how many blocks share the sum over so many elements.
func (b *Backend) blocksOf(elements int) int {
	const each = 16 * threads
	return min((elements+each-1)/each, 8*b.device.Processors)
}

// SumSquares is part of device.Optimiser. One kernel for each value leaves partial sums, one adds them.
func (b *Backend) SumSquares(vs []*device.Value) (float64, error) {
	const bytes = 8 // of a sum
	partials := 0
	for _, v := range vs {
		partials += b.blocksOf(v.Size())
	}
	p := b.products
	p.mu.Lock()
	defer p.mu.Unlock()
	total, err := p.spare(spareWork, bytes*(1+partials))
	if err != nil {
		return 0, err
	}
	first := total + bytes
	at := first
	for _, v := range vs {
		if n := v.Size(); n > 0 {
			t := v.Desc().DType
			b.kernel("optimiser", "sum_squares", t).pointer(reading(v, t)).pointer(at).i64(n).launch(driver.Grid{X: b.blocksOf(n), ThreadsX: threads})
			at += driver.Pointer(bytes * b.blocksOf(n))
		}
	}
	b.kernel("optimiser", "sum_partials", single).pointer(total).pointer(first).i64(partials).launch(driver.Grid{ThreadsX: threads})
	var sum [bytes]byte
	err = b.staging.download(sum[:], total)
	return math.Float64frombits(binary.LittleEndian.Uint64(sum[:])), err
}
