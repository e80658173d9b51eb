package kernel

import "math"

var portableISA = isa{
	tile:    portableTiler(),
	sum:     sumGo,
	max:     maxGo,
	dot:     dotGo,
	sqDev:   sqDevGo,
	add:     addGo,
	mul:     mulGo,
	axpy:    axpyGo,
	combine: combineGo,
	scale:   scaleGo,
	affine:  affineGo,
	lerp:    lerpGo,

	expSum:         expSumGo,
	softmaxRow:     softmaxRowGo,
	softmaxGradRow: softmaxGradRowGo,
	softmaxGrad:    softmaxGradGo,
	normApply:      normApplyGo,
	normParams:     normParamsGo,
	normSums:       normSumsGo,
	normGrad:       normGradGo,

	activate:     [activations]func(dst, x []float32){Identity: copyGo, GELUTanh: geluTanhGo, GELUErf: geluErfGo, SiLU: siluGo, QuickGELU: quickGELUGo},
	activateGrad: [activations]func(dst, x, dy []float32){Identity: identityGradGo, GELUTanh: geluTanhGradGo, GELUErf: geluErfGradGo, SiLU: siluGradGo, QuickGELU: quickGELUGradGo},
	swiglu:       swigluGo,
	swigluGrad:   swigluGradGo,

	rotate: rotateGo,
	adamw:  adamwGo,
	sumSq:  sumSqGo,
}

// sumGo adds in four interleaved partial sums, as vector code does, which bounds the rounding error.
func sumGo(x []float32) float32 {
	var s [4]float32
	for ; len(x) >= 4; x = x[4:] {
		s[0] += x[0]
		s[1] += x[1]
		s[2] += x[2]
		s[3] += x[3]
	}
	for i, v := range x {
		s[i] += v
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func maxGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func dotGo(x, y []float32) float32 {
	y = y[:len(x)]
	var s [4]float32
	for ; len(x) >= 4; x, y = x[4:], y[4:] {
		s[0] += x[0] * y[0]
		s[1] += x[1] * y[1]
		s[2] += x[2] * y[2]
		s[3] += x[3] * y[3]
	}
	for i, v := range x {
		s[i] += v * y[i]
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func sqDevGo(x []float32, mean float32) float32 {
	var s [4]float32
	for i, v := range x {
		d := v - mean
		s[i&3] += d * d
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func sumSqGo(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}

func addGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func mulGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func axpyGo(dst, x []float32, a float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += a * x[i]
	}
}

func combineGo(dst, b []float32, ld int, x []float32) {
	for i, f := range x[:combineRows] {
		axpyGo(dst, b[i*ld:], f)
	}
}

func scaleGo(dst, x []float32, a float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = a * x[i]
	}
}

func affineGo(dst, x []float32, a, b float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = a*x[i] + b
	}
}

func lerpGo(dst, x []float32, keep float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = keep*dst[i] + (1-keep)*x[i]
	}
}

func copyGo(dst, x []float32) { copy(dst, x) }

func expSumGo(dst, x []float32, scale, sub float32) float32 {
	x = x[:len(dst)]
	var s float64
	for i := range dst {
		v := float32(math.Exp(float64(scale*x[i] - sub)))
		dst[i] = v
		s += float64(v)
	}
	return float32(s)
}

func softmaxRowGo(x []float32, scale, top float32) (newTop, sum float32) {
	newTop = max(top, scale*maxGo(x))
	return newTop, exp2SumGo(x, scale, newTop)
}

// exp2SumGo is expSumGo to the base 2, in place.
func exp2SumGo(x []float32, scale, sub float32) float32 {
	for i, v := range x {
		x[i] = float32(math.Exp2(float64(scale)*float64(v) - float64(sub)))
	}
	return sumGo(x)
}

func softmaxGradRowGo(dp, x []float32, scale, lse, gradScale, delta float32) {
	exp2SumGo(x, scale, lse)
	for i, p := range x {
		dp[i] = gradScale * p * (dp[i] - delta)
	}
}

func softmaxGradGo(dst, dp, p []float32, dot, scale float32) {
	dp, p = dp[:len(dst)], p[:len(dst)]
	for i := range dst {
		dst[i] = scale * p[i] * (dp[i] - dot)
	}
}

func normApplyGo(dst, x, w, b []float32, mean, rstd float32) {
	x, w, b = x[:len(dst)], w[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = (x[i]-mean)*rstd*w[i] + b[i]
	}
}

func normParamsGo(dw, db, dy, x []float32, mean, rstd float32) {
	db, dy, x = db[:len(dw)], dy[:len(dw)], x[:len(dw)]
	for i := range dw {
		dw[i] += dy[i] * ((x[i] - mean) * rstd)
		db[i] += dy[i]
	}
}

func normSumsGo(dy, x, w []float32, mean, rstd float32) (s1, s2 float32) {
	x, w = x[:len(dy)], w[:len(dy)]
	for i := range dy {
		t := dy[i] * w[i]
		s1 += t
		s2 += t * ((x[i] - mean) * rstd)
	}
	return s1, s2
}

func normGradGo(dst, dy, x, w []float32, mean, rstd, m1, m2 float32) {
	dy, x, w = dy[:len(dst)], x[:len(dst)], w[:len(dst)]
	for i := range dst {
		dst[i] = rstd * (dy[i]*w[i] - m1 - (x[i]-mean)*rstd*m2)
	}
}

func adamwGo(p, g, m, v []float32, c *adamwConsts) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i := range p {
		d := g[i] * c[adamwGradScale]
		m[i] = c[adamwB1]*m[i] + c[adamwC1]*d
		v[i] = c[adamwB2]*v[i] + c[adamwC2]*d*d
		p[i] = c[adamwKeep]*p[i] - c[adamwLR]*m[i]/(float32(math.Sqrt(float64(v[i])))*c[adamwInvBias2]+c[adamwEps])
	}
}

func rotateGo(y, x, cos, sin []float32, heads, strideY, strideX int, turn float32) {
	n := len(cos)
	for h := range heads {
		x1, x2 := x[h*strideX:][:n], x[h*strideX+n:][:n]
		y1, y2 := y[h*strideY:][:n], y[h*strideY+n:][:n]
		for i, c := range cos {
			s := turn * sin[i]
			u, v := x1[i], x2[i]
			y1[i], y2[i] = u*c-v*s, v*c+u*s
		}
	}
}
