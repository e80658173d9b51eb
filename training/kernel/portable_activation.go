package kernel

import "math"

const (
	geluC0 = 0.7978845608028654 // sqrt(2/pi)
	geluC1 = 0.044715

	quickGELU = 1.702
)

func identityGradGo(dst, _, dy []float32) { copy(dst, dy[:len(dst)]) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func geluTanhGo(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		u := float64(v)
		dst[i] = float32(u * sigmoid(2*geluC0*(u+geluC1*u*u*u)))
	}
}

func geluTanhGradGo(dst, x, dy []float32) {
	dy = dy[:len(dst)]
	for i, v := range x[:len(dst)] {
		u := float64(v)
		s := sigmoid(2 * geluC0 * (u + geluC1*u*u*u))
		d := s + u*s*(1-s)*2*geluC0*(1+3*geluC1*u*u)
		dst[i] = dy[i] * float32(d)
	}
}

func geluErfGo(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		u := float64(v)
		dst[i] = float32(0.5 * u * math.Erfc(-u/math.Sqrt2))
	}
}

func geluErfGradGo(dst, x, dy []float32) {
	dy = dy[:len(dst)]
	for i, v := range x[:len(dst)] {
		u := float64(v)
		d := 0.5*math.Erfc(-u/math.Sqrt2) + u*math.Exp(-0.5*u*u)/math.Sqrt(2*math.Pi)
		dst[i] = dy[i] * float32(d)
	}
}

func siluGo(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		u := float64(v)
		dst[i] = float32(u * sigmoid(u))
	}
}

func siluGradGo(dst, x, dy []float32) {
	dy = dy[:len(dst)]
	for i, v := range x[:len(dst)] {
		u := float64(v)
		s := sigmoid(u)
		dst[i] = dy[i] * float32(s*(1+u*(1-s)))
	}
}

func quickGELUGo(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		u := float64(v)
		dst[i] = float32(u * sigmoid(quickGELU*u))
	}
}

func quickGELUGradGo(dst, x, dy []float32) {
	dy = dy[:len(dst)]
	for i, v := range x[:len(dst)] {
		u := float64(v)
		s := sigmoid(quickGELU * u)
		dst[i] = dy[i] * float32(s*(1+quickGELU*u*(1-s)))
	}
}

func swigluGo(dst, gate, up []float32) {
	up = up[:len(dst)]
	for i, v := range gate[:len(dst)] {
		u := float64(v)
		dst[i] = float32(u*sigmoid(u)) * up[i]
	}
}

func swigluGradGo(dgate, dup, gate, up, dy []float32) {
	n := len(dgate)
	dup, up, dy = dup[:n], up[:n], dy[:n]
	for i, v := range gate[:n] {
		u := float64(v)
		s := sigmoid(u)
		d, p := dy[i], up[i]
		dgate[i] = d * p * float32(s*(1+u*(1-s)))
		dup[i] = d * float32(u*s)
	}
}
