package kernel

import (
	"math"
	"testing"
)

func TestElementwiseKernelsOnOddLengths(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(24)
		for _, n := range []int{0, 1, 7, 31, 64, 129, 20011} {
			a, b, d := s.vec(n), s.vec(n), s.vec(n)
			each := func(f func(i int) float64) []float64 {
				out := make([]float64, n)
				for i := range out {
					out[i] = f(i)
				}
				return out
			}
			old := wide(d)
			sum, product := make([]float32, n), make([]float32, n)
			e.Add(sum, a, b)
			check(t, "Add", sum, each(func(i int) float64 { return float64(a[i]) + float64(b[i]) }), 1e-7)
			e.Mul(product, a, b)
			check(t, "Mul", product, each(func(i int) float64 { return float64(a[i]) * float64(b[i]) }), 1e-7)
			e.Axpy(d, a, 0.5)
			check(t, "Axpy", d, each(func(i int) float64 { return old[i] + 0.5*float64(a[i]) }), 1e-6)
			e.Scale(d, d, 4)
			check(t, "Scale", d, each(func(i int) float64 { return 4 * (old[i] + 0.5*float64(a[i])) }), 1e-6)
			before := wide(d)
			e.EMA(d, b, 0.9)
			check(t, "EMA", d, each(func(i int) float64 { return 0.9*before[i] + 0.1*float64(b[i]) }), 1e-6)
			var sq, dot float64
			for i := range n {
				sq += float64(a[i]) * float64(a[i])
				dot += float64(a[i]) * float64(b[i])
			}
			if got := e.SumSquares(a); math.Abs(got-sq) > 1e-12*sq {
				t.Fatalf("SumSquares of %d is %v, want %v", n, got, sq)
			}
			if got := e.Dot(a, b); math.Abs(got-dot) > 1e-6*(sq+1) {
				t.Fatalf("Dot of %d is %v, want %v", n, got, dot)
			}
		}
	})
}

func TestAdamWTakesTheStepsOfItsDefinition(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(25)
		const n = 83
		p, m, v := s.vec(n), make([]float32, n), make([]float32, n)
		wp, wm, wv := wide(p), make([]float64, n), make([]float64, n)
		for step := 1; step <= 3; step++ {
			g := s.vec(n)
			e.AdamW(AdamWArgs{P: p, G: g, M: m, V: v, LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Decay: 0.1, GradScale: 0.5, Step: step})
			for i := range wp {
				d := 0.5 * float64(g[i])
				wm[i] = 0.9*wm[i] + 0.1*d
				wv[i] = 0.95*wv[i] + 0.05*d*d
				mh, vh := wm[i]/(1-math.Pow(0.9, float64(step))), wv[i]/(1-math.Pow(0.95, float64(step)))
				wp[i] = wp[i]*(1-0.01*0.1) - 0.01*mh/(math.Sqrt(vh)+1e-8)
			}
		}
		check(t, "parameter", p, wp, 1e-6)
		check(t, "first moment", m, wm, 1e-6)
		check(t, "second moment", v, wv, 1e-6)
	})
}

func TestLayoutKernelsMoveEveryElement(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(26)
		const b, r, c = 2, 37, 45
		x, y, back := s.vec(b*r*c), make([]float32, b*r*c), ones(b*r*c)
		e.Transpose(TransposeArgs{Batch: b, Rows: r, Cols: c, X: x, Y: y})
		if y[r*c+3*r+5] != x[r*c+5*c+3] {
			t.Fatal("element (5,3) of the second matrix is not at (3,5)")
		}
		e.Transpose(TransposeArgs{Batch: b, Rows: c, Cols: r, X: y, Y: back, Accumulate: true})
		check(t, "transposed twice onto ones", back, plus(wide(x)), 1e-7)

		part := make([]float32, 3*4)
		e.CopyMatrix(CopyMatrixArgs{Rows: 3, Cols: 4, X: x[2*c+5:], LDX: c, Y: part})
		check(t, "block", part, wide(append(append(clone(x[2*c+5:2*c+9]), x[3*c+5:3*c+9]...), x[4*c+5:4*c+9]...)), 0)

		const n, ch, h, w, p = 2, 3, 8, 12, 4
		img, patches, again := s.vec(n*ch*h*w), make([]float32, n*ch*h*w), make([]float32, n*ch*h*w)
		a := PatchifyArgs{B: n, Channels: ch, Height: h, Width: w, Patch: p, X: img, Y: patches}
		e.Patchify(a)
		// image 1, channel 2, pixel (6, 9): patch (1, 2), inside it (2, 1)
		if got, want := patches[((1*2+1)*3+2)*ch*p*p+2*p*p+2*p+1], img[((1*ch+2)*h+6)*w+9]; got != want {
			t.Fatalf("the pixel is %v in its patch, want %v", got, want)
		}
		a.X = again
		e.Unpatchify(a)
		check(t, "cut and joined", again, wide(img), 0)
	})
}

func TestLog32FollowsTheLogarithm(t *testing.T) {
	for x := float32(1e-37); x < 1e38; x *= 1.37 {
		want := math.Log(float64(x))
		if got := log32(x); math.Abs(float64(got)-want) > 3e-7*math.Max(1, math.Abs(want)) {
			t.Fatalf("log of %v is %v, want %v", x, got, want)
		}
	}
}
