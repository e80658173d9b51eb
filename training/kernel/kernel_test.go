package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// levels are the levels of this machine.
func levels() []Level {
	var out []Level
	for _, l := range []Level{Portable, AVX2, AVX512} {
		if supported(l) {
			out = append(out, l)
		}
	}
	return out
}

func newEngine(t testing.TB, threads int, level Level) *Engine {
	t.Helper()
	e, err := New(Options{Threads: threads, Level: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// eachLevel runs a test with two threads on every level.
func eachLevel(t *testing.T, f func(t *testing.T, e *Engine)) {
	t.Helper()
	for _, l := range levels() {
		t.Run(l.String(), func(t *testing.T) { f(t, newEngine(t, 2, l)) })
	}
}

// sameBits runs f with 1, 2, 3 and 7 threads on every level and fails unless every output is the same to the bit.
func sameBits(t *testing.T, f func(e *Engine) []float32) {
	t.Helper()
	for _, l := range levels() {
		want := f(newEngine(t, 1, l))
		for _, n := range []int{2, 3, 7} {
			got := f(newEngine(t, n, l))
			if len(got) != len(want) {
				t.Fatalf("%v, %d threads: %d values, 1 thread has %d", l, n, len(got), len(want))
			}
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%v, %d threads: value %d is %v, 1 thread has %v", l, n, i, got[i], want[i])
				}
			}
		}
	}
}

type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 77))} }

func (s source) vec(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.NormFloat64())
	}
	return x
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func clone(x []float32) []float32 { return append([]float32(nil), x...) }

// check compares with a float64 reference: the largest difference, relative to the largest value (at least 1e-3), must be at most tol.
func check(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	top := 1e-3
	for _, v := range want {
		top = math.Max(top, math.Abs(v))
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); !(d <= tol*top) {
			t.Fatalf("%s: value %d is %v, want %v (difference %.3g, allowed %.3g)", what, i, got[i], v, d, tol*top)
		}
	}
}

// gradient is the central difference of sum(seed * f(x)) for every element of x.
func gradient(x []float64, seed []float32, f func(x []float64) []float64) []float64 {
	const h = 1e-5
	g := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + h
		up := f(x)
		x[i] = v - h
		down := f(x)
		x[i] = v
		for j, s := range seed {
			g[i] += float64(s) * (up[j] - down[j]) / (2 * h)
		}
	}
	return g
}

// plus returns x + 1: what an accumulating kernel leaves in a buffer of ones.
func plus(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v + 1
	}
	return y
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// panics fails unless f panics.
func panics(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Fatalf("%s did not panic", what)
		}
	}()
	f()
}
