package device

// Optimiser updates parameters.
type Optimiser interface {
	AdamW(a AdamWArgs)
	// EMA moves an average: dst = decay dst + (1-decay) x.
	EMA(dst, x *Value, decay float32)
	// Clamp limits every element to [lo, hi].
	Clamp(v *Value, lo, hi float32)
	// SumSquares is the sum of the squares of all elements of all values, in float64 and a fixed order. It waits for earlier kernels.
	SumSquares(vs []*Value) (float64, error)
}

// AdamWArgs is one step of AdamW with decoupled decay (Loshchilov and Hutter 2019) on P with moments M and V. Step counts from 1; GradScale
// multiplies the gradient first, 0 means 1; Decay is applied as p -= LR Decay p.
type AdamWArgs struct {
	P, G, M, V            *Value
	LR, Beta1, Beta2, Eps float64
	Decay, GradScale      float64
	Step                  int
}
