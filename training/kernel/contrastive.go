package kernel

import "math"

// MixTargetsArgs makes the soft targets of momentum distillation (Li et al. 2021, ALBEF): Y = Alpha softmax(Logits) + (1-Alpha) hard, where the
// hard target of row r is column Targets[r]. Y may be Logits.
type MixTargetsArgs struct {
	Rows, Cols int
	Logits     []float32
	Targets    []int32
	Alpha      float32
	Y          []float32
}

// MixTargets writes distributions for CrossEntropy's SoftTargets.
func (e *Engine) MixTargets(a MixTargetsArgs) {
	need("MixTargets", "Logits", a.Logits, a.Rows*a.Cols)
	need("MixTargets", "Y", a.Y, a.Rows*a.Cols)
	need("MixTargets", "Targets", a.Targets, a.Rows)
	checkIndex("MixTargets", a.Targets[:a.Rows], a.Cols)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x, y := row(a.Logits, r, a.Cols, a.Cols), row(a.Y, r, a.Cols, a.Cols)
			e.isa.scale(y, y, a.Alpha/e.isa.expSum(y, x, 1, e.isa.max(x)))
			if t := a.Targets[r]; t >= 0 {
				y[t] += 1 - a.Alpha
			}
		}
	})
}

// SigLIPArgs is the pairwise sigmoid loss (Zhai et al. 2023) of Rows x Cols logits: sum of -log sigmoid(z l) / Rows with z = 1 where column
// Targets[r] matches row r (Targets nil: the diagonal), else -1. DLogits (nil: none) receives the gradient times GradScale (0 means 1); it
// may be Logits. Loss receives each row's sum.
type SigLIPArgs struct {
	Rows, Cols int
	Logits     []float32
	Targets    []int32
	Loss       []float32
	DLogits    []float32
	GradScale  float32
}

// SigLIP returns the loss and writes its gradient.
func (e *Engine) SigLIP(a SigLIPArgs) float64 {
	need("SigLIP", "Logits", a.Logits, a.Rows*a.Cols)
	need("SigLIP", "Loss", a.Loss, a.Rows)
	if a.DLogits != nil {
		need("SigLIP", "DLogits", a.DLogits, a.Rows*a.Cols)
	}
	if a.GradScale == 0 {
		a.GradScale = 1
	}
	g := float64(a.GradScale) / float64(max(1, a.Rows))
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			match := r
			if a.Targets != nil {
				match = int(a.Targets[r])
			}
			var loss float64
			for c := range a.Cols {
				z := -1.0
				if c == match {
					z = 1
				}
				v := z * float64(a.Logits[r*a.Cols+c])
				loss += math.Max(-v, 0) + math.Log1p(math.Exp(-math.Abs(v)))
				if a.DLogits != nil {
					a.DLogits[r*a.Cols+c] = float32(-g * z * sigmoid(-v))
				}
			}
			a.Loss[r] = float32(loss)
		}
	})
	var s float64
	for _, v := range a.Loss[:a.Rows] {
		s += float64(v)
	}
	return s / float64(max(1, a.Rows))
}
