package kernel

import "math"

// AdamWArgs is one step of AdamW on a parameter of len(P) elements. Step counts from 1. GradScale multiplies the gradient first (for
// clipping); 0 means 1. Decay is the coefficient of the decoupled decay, applied as p -= LR Decay p; 0 is none.
type AdamWArgs struct {
	P, G, M, V            []float32
	LR, Beta1, Beta2, Eps float64
	Decay, GradScale      float64
	Step                  int
}

// AdamW updates P and the moments M and V in place (Loshchilov and Hutter 2019, with bias correction).
func (e *Engine) AdamW(a AdamWArgs) {
	need("AdamW", "G", a.G, len(a.P))
	need("AdamW", "M", a.M, len(a.P))
	need("AdamW", "V", a.V, len(a.P))
	require(a.Step >= 1, "AdamW.Step is %d, the first step is 1", a.Step)
	if a.GradScale == 0 {
		a.GradScale = 1
	}
	bias1 := 1 - math.Pow(a.Beta1, float64(a.Step))
	bias2 := 1 - math.Pow(a.Beta2, float64(a.Step))
	c := &adamwConsts{
		adamwGradScale: float32(a.GradScale),
		adamwB1:        float32(a.Beta1),
		adamwC1:        float32(1 - a.Beta1),
		adamwB2:        float32(a.Beta2),
		adamwC2:        float32(1 - a.Beta2),
		adamwLR:        float32(a.LR / bias1),
		adamwInvBias2:  float32(1 / math.Sqrt(bias2)),
		adamwEps:       float32(a.Eps),
		adamwKeep:      float32(1 - a.LR*a.Decay),
	}
	e.flat(len(a.P), func(lo, hi int) { e.isa.adamw(a.P[lo:hi], a.G[lo:hi], a.M[lo:hi], a.V[lo:hi], c) })
}
