package device

// Optimiser updates parameters.
type Optimiser interface {
	// Update does a step of an optimiser on many parameters and returns the norm of their gradients. Where that is not a number nothing changes.
	Update(a UpdateArgs) (norm float64, err error)
	// EMA moves an average: dst = decay dst + (1-decay) x.
	EMA(dst, x *Value, decay float32)
	// Clamp limits every element to [lo, hi].
	Clamp(v *Value, lo, hi float32)
	// SumSquares is the sum of the squares of all elements of all values, in float64 and a fixed order. It waits for earlier kernels.
	SumSquares(vs []*Value) (float64, error)
}

// UpdateArgs are steps on parameters whose gradients are clipped together: where their norm is above Clip, which 0 leaves out, each is multiplied by
// Clip / (norm + 1e-6) first. The norm is that of Grads, added up in float64 in this order.
type UpdateArgs struct {
	Grads []*Value
	Clip  float64
	AdamW []AdamWArgs
	Muon  []MuonArgs
}

// Scale is what a norm lets the gradients be multiplied by.
func (a UpdateArgs) Scale(norm float64) float64 {
	if a.Clip > 0 && norm > a.Clip {
		return a.Clip / (norm + 1e-6)
	}
	return 1
}

// AdamWArgs is one step of AdamW with decoupled decay (Loshchilov and Hutter 2019) on P with the gradient G and moments M and V. Step counts from 1;
// Decay is applied as p -= LR Decay p.
type AdamWArgs struct {
	P, G, M, V            *Value
	LR, Beta1, Beta2, Eps float64
	Decay                 float64
	Step                  int
}

// MuonArgs is one step of Muon on matrices P, of rank 2 or more: the last two dimensions are rows and columns, those before count matrices. With
// the gradient g, which is G clipped, and the momentum M it is
//
//	m = Momentum m + g,  u = g + Momentum m,  p = (1 - LR Decay) p - LR 0.2 sqrt(max(rows, columns)) orthogonal(u)
//
// where orthogonal(u) is five Newton-Schulz steps x = 3.4445 x - 4.7750 s x + 2.0315 s s x, s = x x^T, from x = u / (|u| + 1e-7) (Jordan et al. 2024;
// scale of Liu et al. 2025).
type MuonArgs struct {
	P, G, M      *Value
	LR, Momentum float64
	Decay        float64
}

// MuonRound is how many bytes the matrices may take that a device with memory of its own orthogonalises together, unless one alone takes more.
const MuonRound = 256 << 20
