package reference

import (
	"math"

	"tempera/training/device"
)

// Update is part of device.Optimiser.
func (b *Backend) Update(a device.UpdateArgs) (float64, error) {
	squares, err := b.SumSquares(a.Grads)
	norm := math.Sqrt(squares)
	if err != nil || math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, err
	}
	for _, p := range a.AdamW {
		b.adamw(p, a.Scale(norm))
	}
	for _, p := range a.Muon {
		b.muon(p, a.Scale(norm))
	}
	return norm, nil
}

func (b *Backend) adamw(a device.AdamWArgs, scale float64) {
	p, g, m, v := b.of(a.P), b.of(a.G), b.of(a.M), b.of(a.V)
	for i := range p {
		d := scale * g[i]
		m[i] = a.Beta1*m[i] + (1-a.Beta1)*d
		v[i] = a.Beta2*v[i] + (1-a.Beta2)*d*d
		mean := m[i] / (1 - math.Pow(a.Beta1, float64(a.Step)))
		variance := v[i] / (1 - math.Pow(a.Beta2, float64(a.Step)))
		p[i] -= a.LR*a.Decay*p[i] + a.LR*mean/(math.Sqrt(variance)+a.Eps)
	}
}

func (b *Backend) muon(a device.MuonArgs, scale float64) {
	shape := a.P.Shape()
	rows, cols := shape[len(shape)-2], shape[len(shape)-1]
	n := rows * cols
	for i := 0; i < a.P.Size(); i += n {
		p, g, m := b.of(a.P)[i:i+n], b.of(a.G)[i:i+n], b.of(a.M)[i:i+n]
		u := make([]float64, n)
		for j := range u {
			m[j] = a.Momentum*m[j] + scale*g[j]
			u[j] = scale*g[j] + a.Momentum*m[j]
		}
		for j, o := range orthogonal(u, rows, cols) {
			p[j] -= a.LR*a.Decay*p[j] + a.LR*0.2*math.Sqrt(float64(max(rows, cols)))*o
		}
	}
}

// orthogonal is five Newton-Schulz steps on u / |u|.
func orthogonal(u []float64, rows, cols int) []float64 {
	var norm float64
	for _, v := range u {
		norm += v * v
	}
	x := make([]float64, len(u))
	for i, v := range u {
		x[i] = v / (math.Sqrt(norm) + 1e-7)
	}
	for range 5 {
		s := product(x, transposed(x, rows, cols), rows, cols, rows)
		sx := product(s, x, rows, rows, cols)
		ssx := product(s, sx, rows, rows, cols)
		for i := range x {
			x[i] = 3.4445*x[i] - 4.7750*sx[i] + 2.0315*ssx[i]
		}
	}
	return x
}

func transposed(x []float64, rows, cols int) []float64 {
	y := make([]float64, len(x))
	for i := range rows {
		for j := range cols {
			y[j*rows+i] = x[i*cols+j]
		}
	}
	return y
}

// product is an (m, k) matrix times a (k, n) one.
func product(x, y []float64, m, k, n int) []float64 {
	out := make([]float64, m*n)
	for i := range m {
		for l := range k {
			for j := range n {
				out[i*n+j] += x[i*k+l] * y[l*n+j]
			}
		}
	}
	return out
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
