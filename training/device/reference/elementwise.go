package reference

import (
	"fmt"
	"math"

	"tempera/training/device"
)

// Add is part of device.Elementwise.
func (b *Backend) Add(dst, x, y *device.Value) {
	d, u, v := b.of(dst), b.same(x, dst), b.same(y, dst)
	for i := range d {
		d[i] = u[i] + v[i]
	}
}

// Scale is part of device.Elementwise.
func (b *Backend) Scale(dst, x *device.Value, alpha float32) {
	d, u := b.of(dst), b.same(x, dst)
	for i := range d {
		d[i] = float64(alpha) * u[i]
	}
}

// Axpy is part of device.Elementwise.
func (b *Backend) Axpy(dst, x *device.Value, alpha float32) {
	d, u := b.of(dst), b.same(x, dst)
	for i := range d {
		d[i] += float64(alpha) * u[i]
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// activation is f(x) and f'(x).
func activation(f device.Activation, x float64) (value, slope float64) {
	switch f {
	case device.Identity:
		return x, 1
	case device.GELUTanh:
		c := math.Sqrt(2 / math.Pi)
		t := math.Tanh(c * (x + 0.044715*x*x*x))
		return 0.5 * x * (1 + t), 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*0.044715*x*x)
	case device.GELUErf:
		cumulative := 0.5 * math.Erfc(-x/math.Sqrt2)
		return x * cumulative, cumulative + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	case device.SiLU:
		s := sigmoid(x)
		return x * s, s + x*s*(1-s)
	case device.QuickGELU:
		s := sigmoid(1.702 * x)
		return x * s, s + 1.702*x*s*(1-s)
	}
	panic(fmt.Sprintf("reference: no activation %d", f))
}

// Activate is part of device.Elementwise.
func (b *Backend) Activate(a device.ActivateArgs) {
	x, y := b.of(a.X), b.same(a.Y, a.X)
	for i := range x {
		y[i], _ = activation(a.Activation, x[i])
	}
}

// ActivateBackward is part of device.Elementwise.
func (b *Backend) ActivateBackward(a device.ActivateBackwardArgs) {
	x, dy, dx := b.of(a.X), b.same(a.DY, a.X), b.same(a.DX, a.X)
	for i := range x {
		_, slope := activation(a.Activation, x[i])
		put(&dx[i], dy[i]*slope, a.Accumulate)
	}
}

// halves finds element i of gate and up, which may lie side by side in one matrix.
func halves(gate, up []float64, cols int) func(i int) (g, u *float64) {
	if up != nil {
		return func(i int) (*float64, *float64) { return &gate[i], &up[i] }
	}
	return func(i int) (*float64, *float64) {
		at := i/cols*2*cols + i%cols
		return &gate[at], &gate[at+cols]
	}
}

// SwiGLU is part of device.Elementwise.
func (b *Backend) SwiGLU(a device.SwiGLUArgs) {
	in, y := halves(b.of(a.Gate), b.of(a.Up), a.Cols), b.of(a.Y)
	for i := range a.Rows * a.Cols {
		g, u := in(i)
		silu, _ := activation(device.SiLU, *g)
		y[i] = silu * *u
	}
}

// SwiGLUBackward is part of device.Elementwise.
func (b *Backend) SwiGLUBackward(a device.SwiGLUBackwardArgs) {
	in, out, dy := halves(b.of(a.Gate), b.of(a.Up), a.Cols), halves(b.of(a.DGate), b.of(a.DUp), a.Cols), b.of(a.DY)
	for i := range a.Rows * a.Cols {
		g, u := in(i)
		dg, du := out(i)
		silu, slope := activation(device.SiLU, *g)
		*dg, *du = dy[i]**u*slope, dy[i]*silu
	}
}

// AddRows is part of device.Elementwise.
func (b *Backend) AddRows(a device.AddRowsArgs) {
	x, p, y := b.of(a.X), b.of(a.P), b.of(a.Y)
	for r := range a.Rows {
		for c := range a.Cols {
			y[r*a.Cols+c] = x[r*a.Cols+c] + p[r%a.Period*a.Cols+c]
		}
	}
}

// SumRows is part of device.Elementwise.
func (b *Backend) SumRows(a device.SumRowsArgs) {
	x, dp := b.of(a.X), b.of(a.DP)
	for r := range a.Rows {
		for c := range a.Cols {
			dp[r%a.Period*a.Cols+c] += x[r*a.Cols+c]
		}
	}
}

// factor is f(s) and f'(s).
func factor(f device.Factor, s float64) (value, slope float64) {
	switch f {
	case device.Times:
		return s, 1
	case device.TimesExp:
		return math.Exp(s), math.Exp(s)
	case device.DividedBy:
		return 1 / s, -1 / (s * s)
	}
	panic(fmt.Sprintf("reference: no factor %d", f))
}

// ScaleBy is part of device.Elementwise.
func (b *Backend) ScaleBy(a device.ScaleByArgs) {
	x, y := b.of(a.X), b.same(a.Y, a.X)
	f, _ := factor(a.Factor, b.of(a.S)[0])
	for i := range x {
		put(&y[i], f*x[i], a.Accumulate)
	}
}

// ScaleByBackward is part of device.Elementwise.
func (b *Backend) ScaleByBackward(a device.ScaleByBackwardArgs) {
	x, dy := b.of(a.X), b.same(a.DY, a.X)
	_, slope := factor(a.Factor, b.of(a.S)[0])
	var sum float64
	for i := range x {
		sum += dy[i] * x[i]
	}
	b.of(a.DS)[0] += slope * sum
}
