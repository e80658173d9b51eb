package kernel

import (
	"fmt"
	"math"
	"testing"
)

// crossEntropyRef is the mean of the rows with a target, against (1-smoothing) onehot + smoothing/classes.
func crossEntropyRef(rows, classes int, q func(r, c int) float64, counted int, x []float64) []float64 {
	var loss float64
	for r := range rows {
		logp := softmaxRef(1, classes, 1, true, x[r*classes:(r+1)*classes])
		for c, v := range logp {
			loss -= q(r, c) * v / float64(counted)
		}
	}
	return []float64{loss}
}

func TestCrossEntropyAndItsGradient(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(20)
		for _, classes := range []int{3, 16, 67} {
			for _, smoothing := range []float32{0, 0.1} {
				const rows = 5
				x, d, loss := s.vec(rows*classes), make([]float32, rows*classes), make([]float32, rows)
				targets := []int32{1, IgnoreIndex, 0, 2, IgnoreIndex}
				q := func(r, c int) float64 {
					if targets[r] == IgnoreIndex {
						return 0
					}
					v := float64(smoothing) / float64(classes)
					if int(targets[r]) == c {
						v += 1 - float64(smoothing)
					}
					return v
				}
				mean, counted := e.CrossEntropy(CrossEntropyArgs{Rows: rows, Classes: classes, Logits: x, Targets: targets, Smoothing: smoothing, Loss: loss, DLogits: d, GradScale: 3})
				if counted != 3 || loss[1] != 0 {
					t.Fatalf("counted %d rows, want 3; the loss of an ignored row is %v", counted, loss[1])
				}
				f := func(x []float64) []float64 { return crossEntropyRef(rows, classes, q, 3, x) }
				what := fmt.Sprint(classes, " classes, smoothing ", smoothing)
				check(t, what, []float32{float32(mean)}, f(wide(x)), 1e-6)
				check(t, "gradient "+what, d, gradient(wide(x), []float32{3}, f), 1e-5)
			}
		}
	})
}

func TestCrossEntropyAgainstSoftTargetsWritesItsGradientInPlace(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(21)
		const rows, classes = 4, 37
		x, q, loss := s.vec(rows*classes), s.vec(rows*classes), make([]float32, rows)
		e.Softmax(SoftmaxArgs{Rows: rows, Cols: classes, X: q, Y: q})
		for i := range classes {
			q[i] *= 0.5 // a row of less mass
		}
		f := func(x []float64) []float64 {
			return crossEntropyRef(rows, classes, func(r, c int) float64 { return float64(q[r*classes+c]) }, rows, x)
		}
		want := gradient(wide(x), []float32{1}, f)
		value := f(wide(x))
		mean, _ := e.CrossEntropy(CrossEntropyArgs{Rows: rows, Classes: classes, Logits: x, SoftTargets: q, Loss: loss, DLogits: x})
		check(t, "loss", []float32{float32(mean)}, value, 1e-6)
		check(t, "gradient", x, want, 1e-5)
	})
}

func TestCrossEntropyOfNoCountedRowIsZero(t *testing.T) {
	e := newEngine(t, 1, Portable)
	d := ones(4)
	mean, counted := e.CrossEntropy(CrossEntropyArgs{Rows: 2, Classes: 2, Logits: ones(4), Targets: []int32{-100, -100}, Loss: make([]float32, 2), DLogits: d})
	if mean != 0 || counted != 0 || d[0] != 0 {
		t.Fatalf("mean %v, counted %d, gradient %v; want zeros", mean, counted, d)
	}
	panics(t, "a target beyond the classes", func() {
		e.CrossEntropy(CrossEntropyArgs{Rows: 1, Classes: 2, Logits: ones(2), Targets: []int32{2}, Loss: make([]float32, 1)})
	})
}

func TestNaNLogitsGiveANaNLoss(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		x := ones(40)
		x[17] = float32(math.NaN())
		mean, _ := e.CrossEntropy(CrossEntropyArgs{Rows: 1, Classes: 40, Logits: x, Targets: []int32{1}, Loss: make([]float32, 1), DLogits: make([]float32, 40)})
		if !math.IsNaN(mean) {
			t.Fatalf("the loss is %v, want NaN", mean)
		}
		if v := e.SumSquares(x); !math.IsNaN(v) {
			t.Fatalf("the sum of squares is %v, want NaN", v)
		}
	})
}

func TestMixTargetsAreDistributions(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(22)
		const rows, cols = 3, 21
		x, y, targets := s.vec(rows*cols), make([]float32, rows*cols), []int32{4, 0, 20}
		e.MixTargets(MixTargetsArgs{Rows: rows, Cols: cols, Logits: x, Targets: targets, Alpha: 0.4, Y: y})
		want := softmaxRef(rows, cols, 1, false, wide(x))
		for i := range want {
			want[i] *= 0.4
			if int(targets[i/cols]) == i%cols {
				want[i] += 0.6
			}
		}
		check(t, "targets", y, want, 1e-6)
	})
}

func TestSigLIPAndItsGradient(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(23)
		const rows, cols = 3, 5
		x, d, loss := s.vec(rows*cols), make([]float32, rows*cols), make([]float32, rows)
		f := func(x []float64) []float64 {
			var sum float64
			for i, v := range x {
				if i/cols != i%cols {
					v = -v
				}
				sum += math.Log1p(math.Exp(-v)) / rows
			}
			return []float64{sum}
		}
		got := e.SigLIP(SigLIPArgs{Rows: rows, Cols: cols, Logits: x, Loss: loss, DLogits: d})
		check(t, "loss", []float32{float32(got)}, f(wide(x)), 1e-6)
		check(t, "gradient", d, gradient(wide(x), []float32{1}, f), 1e-5)
	})
}

func TestRowKernelsAreTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	const rows, cols = 701, 131
	sameBits(t, func(e *Engine) []float32 {
		s := newSource(24)
		x, d, loss := s.vec(rows*cols), make([]float32, rows*cols), make([]float32, rows)
		targets := make([]int32, rows)
		for i := range targets {
			targets[i] = int32(s.IntN(cols))
		}
		mean, _ := e.CrossEntropy(CrossEntropyArgs{Rows: rows, Classes: cols, Logits: x, Targets: targets, Smoothing: 0.1, Loss: loss, DLogits: d})
		dtable, dp := make([]float32, cols*cols), make([]float32, 7*cols)
		e.GatherBackward(GatherBackwardArgs{TableRows: cols, Cols: cols, DTable: dtable, Index: targets, DY: x})
		e.SumRows(SumRowsArgs{Rows: rows, Cols: cols, Period: 7, X: x, DP: dp})
		out := []float32{float32(mean), float32(e.SumSquares(x)), float32(e.Dot(x, d))}
		return append(append(append(out, d...), dtable...), dp...)
	})
}
