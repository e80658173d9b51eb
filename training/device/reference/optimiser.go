package reference

import (
	"cmp"
	"math"

	"tempera/training/device"
)

// AdamW is part of device.Optimiser.
func (b *Backend) AdamW(a device.AdamWArgs) {
	p, g, m, v := b.of(a.P), b.of(a.G), b.of(a.M), b.of(a.V)
	scale := cmp.Or(a.GradScale, 1)
	for i := range p {
		d := scale * g[i]
		m[i] = a.Beta1*m[i] + (1-a.Beta1)*d
		v[i] = a.Beta2*v[i] + (1-a.Beta2)*d*d
		mean := m[i] / (1 - math.Pow(a.Beta1, float64(a.Step)))
		variance := v[i] / (1 - math.Pow(a.Beta2, float64(a.Step)))
		p[i] -= a.LR*a.Decay*p[i] + a.LR*mean/(math.Sqrt(variance)+a.Eps)
	}
}

// EMA is part of device.Optimiser.
func (b *Backend) EMA(dst, x *device.Value, decay float32) {
	d, u := b.of(dst), b.same(x, dst)
	for i := range d {
		d[i] = float64(decay)*d[i] + (1-float64(decay))*u[i]
	}
}

// Clamp is part of device.Optimiser.
func (b *Backend) Clamp(v *device.Value, lo, hi float32) {
	for i, x := range b.of(v) {
		b.of(v)[i] = math.Min(math.Max(x, float64(lo)), float64(hi))
	}
}

// SumSquares is part of device.Optimiser.
func (b *Backend) SumSquares(vs []*device.Value) (float64, error) {
	var sum float64
	for _, v := range vs {
		for _, x := range b.of(v) {
			sum += x * x
		}
	}
	return sum, nil
}
