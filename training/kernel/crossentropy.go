package kernel

import "math"

// IgnoreIndex is the target of rows that take no part in the loss.
const IgnoreIndex = -100

// CrossEntropyArgs is the cross-entropy of Rows x Classes logits against class indices, or against rows of probabilities.
//
// With Targets, a row whose target is IgnoreIndex has loss 0 and no gradient, and Smoothing s mixes the target with the uniform
// distribution: (1-s) onehot + s/Classes. With SoftTargets each row is a distribution; its sum need not be 1. Exactly one of them is set.
// Loss receives each row's loss (Rows). DLogits, if not nil, receives the gradient of the MEAN over rows that are not ignored, times
// GradScale (0 means 1); it may be Logits.
type CrossEntropyArgs struct {
	Rows, Classes int
	Logits        []float32
	LD            int
	Targets       []int32
	SoftTargets   []float32
	LDSoft        int
	Smoothing     float32
	Loss          []float32
	DLogits       []float32
	LDGrad        int
	GradScale     float32
}

// CrossEntropy writes the row losses and the gradient in one pass, and returns the mean loss and the number of rows it is over. With no such
// row the mean is 0.
func (e *Engine) CrossEntropy(a CrossEntropyArgs) (mean float64, counted int) {
	a.LD = needMatrix("CrossEntropy", "Logits", a.Logits, a.Rows, a.Classes, a.LD)
	need("CrossEntropy", "Loss", a.Loss, a.Rows)
	require((a.Targets == nil) != (a.SoftTargets == nil) || a.Rows == 0, "CrossEntropy wants Targets or SoftTargets, not both")
	if a.DLogits != nil {
		a.LDGrad = needMatrix("CrossEntropy", "DLogits", a.DLogits, a.Rows, a.Classes, a.LDGrad)
	}
	if a.GradScale == 0 {
		a.GradScale = 1
	}
	counted = a.Rows
	if a.SoftTargets != nil {
		a.LDSoft = needMatrix("CrossEntropy", "SoftTargets", a.SoftTargets, a.Rows, a.Classes, a.LDSoft)
	} else {
		counted = countTargets("CrossEntropy", a.Targets, a.Rows, a.Classes)
	}
	g := a.GradScale / float32(max(1, counted))
	e.rows(a.Rows, a.Classes, func(lo, hi int) {
		l := e.lease()
		defer e.release(l)
		for r := lo; r < hi; r++ {
			e.crossEntropyRow(&a, l, r, g)
		}
	})
	return meanLoss(a.Loss[:a.Rows], counted), counted
}

// meanLoss is the sum of the rows' losses over the number of those that count; 0 if none does.
func meanLoss(rows []float32, counted int) float64 {
	var s float64
	for _, v := range rows {
		s += float64(v)
	}
	return s / float64(max(1, counted))
}

// countTargets checks the targets and counts those that are not ignored.
func countTargets(name string, targets []int32, rows, classes int) int {
	need(name, "Targets", targets, rows)
	n := 0
	for r, t := range targets[:rows] {
		if t == IgnoreIndex {
			continue
		}
		require(t >= 0 && int(t) < classes, "%s.Targets[%d] is %d, classes are 0..%d", name, r, t, classes-1)
		n++
	}
	return n
}

func (e *Engine) crossEntropyRow(a *CrossEntropyArgs, l *lease, r int, g float32) {
	x := row(a.Logits, r, a.LD, a.Classes)
	p := l.buf(buf0, a.Classes)
	if a.DLogits != nil {
		p = row(a.DLogits, r, a.LDGrad, a.Classes)
	}
	if a.Targets != nil && a.Targets[r] == IgnoreIndex {
		a.Loss[r] = 0
		if a.DLogits != nil {
			clear(p)
		}
		return
	}
	// The row's sums come first: p may be x.
	var linear, mass float32 // sum of target x, sum of target
	uniform := a.Smoothing / float32(a.Classes)
	if a.Targets != nil {
		mass = 1
		linear = (1-a.Smoothing)*x[a.Targets[r]] + uniform*e.sumIf(a.Smoothing != 0, x)
	} else {
		q := row(a.SoftTargets, r, a.LDSoft, a.Classes)
		mass, linear = e.isa.sum(q), e.isa.dot(q, x)
	}
	top := e.isa.max(x)
	sum := e.isa.expSum(p, x, 1, top)
	a.Loss[r] = mass*(top+float32(math.Log(float64(sum)))) - linear
	if a.DLogits == nil {
		return
	}
	if a.Targets == nil {
		e.isa.scale(p, p, g*mass/sum)
		e.isa.axpy(p, row(a.SoftTargets, r, a.LDSoft, a.Classes), -g)
		return
	}
	e.isa.affine(p, p, g*mass/sum, -g*uniform)
	p[a.Targets[r]] -= g * (1 - a.Smoothing)
}

func (e *Engine) sumIf(wanted bool, x []float32) float32 {
	if !wanted {
		return 0
	}
	return e.isa.sum(x)
}
