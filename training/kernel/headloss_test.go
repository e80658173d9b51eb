package kernel

import (
	"math"
	"slices"
	"testing"
)

// headOf is a head whose logits are made in blocks of 32 rows.
func headOf(s source) HeadInput {
	const n, c, v = 70, 24, 900
	targets := make([]int32, n)
	for i := range targets {
		targets[i] = int32(i * 12)
	}
	targets[3] = IgnoreIndex
	return HeadInput{
		Rows: n, Width: c, Classes: v, X: s.vec(n * c), W: s.vec(v * c), TransW: true, Bias: s.vec(v), Targets: targets, Logits: make([]float32, 32*v),
	}
}

func (a HeadInput) gradientsOf(s source) HeadGradients {
	return HeadGradients{DX: make([]float32, a.Rows*a.Width), DW: s.vec(a.Classes * a.Width), DBias: s.vec(a.Classes)}
}

func TestHeadsAreTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	sameBits(t, func(e *Engine) []float32 {
		s := newSource(50)
		a := HeadCrossEntropyArgs{HeadInput: headOf(s), Smoothing: 0.1}
		a.Loss, a.LogSumExp = make([]float32, a.Rows), make([]float32, a.Rows)
		e.HeadCrossEntropy(a)
		b := HeadCrossEntropyBackwardArgs{Forward: a, Scale: 0.5, HeadGradients: a.gradientsOf(s)}
		e.HeadCrossEntropyBackward(b)

		p := HeadLogProbsArgs{HeadInput: a.HeadInput, Temperature: 1.3, Y: make([]float32, 2*a.Rows), LogSumExp: make([]float32, a.Rows)}
		e.HeadLogProbs(p)
		d := HeadLogProbsBackwardArgs{Forward: p, DY: s.vec(2 * a.Rows), HeadGradients: a.gradientsOf(s)}
		e.HeadLogProbsBackward(d)

		k := HeadDivergenceArgs{Student: headOf(s), Teacher: headOf(s), Temperature: 2, Loss: make([]float32, a.Rows)}
		mean, _ := e.HeadDivergence(k)
		dk := HeadDivergenceBackwardArgs{Forward: k, Scale: 0.5, HeadGradients: a.gradientsOf(s)}
		e.HeadDivergenceBackward(dk)
		return slices.Concat(
			a.Loss, a.LogSumExp, b.DX, b.DW, b.DBias, p.Y, p.LogSumExp, d.DX, d.DW, d.DBias, []float32{float32(mean)}, k.Loss, dk.DX, dk.DW, dk.DBias,
		)
	})
}

// TestHeadLogProbsOfLargeLogits: shifted rows keep their entropy and the log-probability of an unlikely target, whatever their level.
func TestHeadLogProbsOfLargeLogits(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		const v = 33
		sum, mean := 0.0, 0.0 // of e^(-i/2), and of i/2 under that distribution
		for i := range v {
			sum += math.Exp(-float64(i) / 2)
			mean += float64(i) / 2 * math.Exp(-float64(i)/2)
		}
		entropy := math.Log(sum) + mean/sum
		for _, level := range []float32{0, 1e4, -1e4} {
			w := make([]float32, v)
			for i := range w {
				w[i] = level - float32(i)/4
			}
			a := HeadLogProbsArgs{
				HeadInput:   HeadInput{Rows: 1, Width: 1, Classes: v, X: []float32{1}, W: w, Targets: []int32{v - 1}, Logits: make([]float32, v)},
				Temperature: 0.5, Y: make([]float32, 2), LogSumExp: make([]float32, 1),
			}
			e.HeadLogProbs(a)
			check(t, "log-probability and entropy", a.Y, []float64{-(v-1)/2.0 - math.Log(sum), entropy}, 1e-6)
		}
	})
}
