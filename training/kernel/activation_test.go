package kernel

import (
	"fmt"
	"math"
	"testing"
)

func activationRef(a Activation, x float64) float64 {
	switch a {
	case GELUTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case GELUErf:
		return 0.5 * x * (1 + math.Erf(x/math.Sqrt2))
	case SiLU:
		return x / (1 + math.Exp(-x))
	case QuickGELU:
		return x / (1 + math.Exp(-1.702*x))
	default:
		return x
	}
}

func each(x []float64, f func(v float64) float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

func TestActivationsAndTheirGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(5)
		for _, n := range []int{1, 7, 16, 100, 9001} {
			for act := Identity; act < activations; act++ {
				x, dy := s.vec(n), s.vec(n)
				for i := range x {
					x[i] *= 4
				}
				f := func(v float64) float64 { return activationRef(act, v) }
				y, dx, sum := make([]float32, n), make([]float32, n), ones(n)
				e.Activate(ActivateArgs{Activation: act, N: n, X: x, Y: y})
				check(t, fmt.Sprint("value of ", act), y, each(wide(x), f), 2e-6)
				want := make([]float64, n)
				for i, v := range wide(x) {
					want[i] = float64(dy[i]) * (f(v+1e-5) - f(v-1e-5)) / 2e-5
				}
				e.ActivateBackward(ActivateBackwardArgs{Activation: act, N: n, X: x, DY: dy, DX: dx})
				check(t, fmt.Sprint("gradient of ", act), dx, want, 3e-6)
				e.ActivateBackward(ActivateBackwardArgs{Activation: act, N: n, X: x, DY: dy, DX: sum, Accumulate: true})
				check(t, fmt.Sprint("accumulated gradient of ", act), sum, plus(want), 3e-6)
			}
		}
	})
}

func TestActivationsAreExactFarFromZero(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		for act := GELUTanh; act < activations; act++ {
			x := []float32{-1e4, -200, -90, -30, -12, -9, 0, 9, 12, 30, 90, 200, 1e4}
			y := make([]float32, len(x))
			e.Activate(ActivateArgs{Activation: act, N: len(x), X: x, Y: y})
			for i, v := range x {
				want := activationRef(act, float64(v))
				if d := math.Abs(float64(y[i]) - want); !(d <= 1e-6*math.Max(1, math.Abs(want))) {
					t.Fatalf("activation %v of %v is %v, want %v", act, v, y[i], want)
				}
			}
		}
	})
}

func TestSwiGLUAndItsGradient(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(6)
		for _, c := range [][2]int{{1, 1}, {3, 17}, {5, 70}} {
			rows, cols := c[0], c[1]
			both, dy := s.vec(rows*2*cols), s.vec(rows*cols)
			y, d := make([]float32, rows*cols), make([]float32, rows*2*cols)
			f := func(x []float64) []float64 {
				out := make([]float64, rows*cols)
				for i := range out {
					r, c := i/cols, i%cols
					out[i] = activationRef(SiLU, x[r*2*cols+c]) * x[r*2*cols+cols+c]
				}
				return out
			}
			e.SwiGLU(SwiGLUArgs{Rows: rows, Cols: cols, Gate: both, Up: both[cols:], Y: y, LDGate: 2 * cols, LDUp: 2 * cols})
			check(t, "SwiGLU", y, f(wide(both)), 2e-6)
			e.SwiGLUBackward(SwiGLUBackwardArgs{
				Rows: rows, Cols: cols, Gate: both, Up: both[cols:], DY: dy, DGate: d, DUp: d[cols:],
				LDGate: 2 * cols, LDUp: 2 * cols, LDDGate: 2 * cols, LDDUp: 2 * cols,
			})
			check(t, "SwiGLU gradient", d, gradient(wide(both), dy, f), 3e-6)
		}
	})
}
