package device

import (
	"math"

	"tempera/training/kernel"
)

// CrossEntropy is part of Loss.
func (c *CPU) CrossEntropy(a CrossEntropyArgs) {
	mean, _ := c.engine.CrossEntropy(kernel.CrossEntropyArgs{
		Rows: a.Rows, Classes: a.Classes, Logits: c.f(a.Logits), Targets: c.i(a.Targets), SoftTargets: c.f(a.SoftTargets),
		Smoothing: a.Smoothing, Loss: c.f(a.RowLoss), DLogits: c.f(a.DLogits),
	})
	c.f(a.Mean)[0] = float32(mean)
}

// SigLIP is part of Loss.
func (c *CPU) SigLIP(a SigLIPArgs) {
	c.f(a.Mean)[0] = float32(c.engine.SigLIP(kernel.SigLIPArgs{
		Rows: a.Rows, Cols: a.Rows, Logits: c.f(a.Logits), Loss: c.f(a.RowLoss), DLogits: c.f(a.DLogits),
	}))
}

// Softmax is part of Loss.
func (c *CPU) Softmax(a SoftmaxArgs) {
	c.engine.Softmax(kernel.SoftmaxArgs{Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), Y: c.f(a.Y), Log: a.Log})
}

// MixTargets is part of Loss.
func (c *CPU) MixTargets(a MixTargetsArgs) {
	diagonal := make([]int32, a.Rows)
	for r := range diagonal {
		diagonal[r] = int32(r)
	}
	c.engine.MixTargets(kernel.MixTargetsArgs{
		Rows: a.Rows, Cols: a.Cols, Logits: c.f(a.Logits), Targets: diagonal, Alpha: c.f(a.Alpha)[0], Y: c.f(a.Y),
	})
}

// negativeFloor is added to each probability, so that every caption can be drawn (BLIP).
const negativeFloor = 1e-4

// SampleNegatives is part of Loss.
func (c *CPU) SampleNegatives(a SampleNegativesArgs) {
	sim, uniform, groups, index := c.f(a.Sim), c.f(a.Uniform), c.i(a.Groups), c.i(a.Index)
	weights := make([]float64, a.B)
	for r := range a.B {
		row := sim[r*a.B : (r+1)*a.B]
		excluded := func(col int) bool { return col == r || groups != nil && groups[col] == groups[r] }
		if negativeWeights(weights, row, excluded) == 0 {
			excluded = func(col int) bool { return col == r }
		}
		total := negativeWeights(weights, row, excluded)
		index[r] = int32(draw(weights, float64(uniform[r])*total))
	}
}

// negativeWeights fills in softmax(row) + negativeFloor, 0 where excluded, and returns the sum.
func negativeWeights(w []float64, row []float32, excluded func(int) bool) float64 {
	top := math.Inf(-1)
	for _, s := range row {
		top = math.Max(top, float64(s))
	}
	var sum, total float64
	for i, s := range row {
		w[i] = math.Exp(float64(s) - top)
		sum += w[i]
	}
	for i := range w {
		w[i] = w[i]/sum + negativeFloor
		if excluded(i) {
			w[i] = 0
		}
		total += w[i]
	}
	return total
}

// draw returns the first index whose cumulative weight exceeds at; rounding never lands on a weight of 0.
func draw(w []float64, at float64) int {
	last, sum := 0, 0.0
	for i, v := range w {
		if v == 0 {
			continue
		}
		last = i
		if sum += v; sum > at {
			break
		}
	}
	return last
}

// Gather is part of Rows.
func (c *CPU) Gather(a GatherArgs) {
	c.engine.Gather(kernel.GatherArgs{TableRows: a.TableRows, Cols: a.Cols, Table: c.words(a.Table), Index: c.i(a.Index), Y: c.words(a.Y), LDY: a.LDY})
}

// GatherBackward is part of Rows.
func (c *CPU) GatherBackward(a GatherBackwardArgs) {
	c.engine.GatherBackward(kernel.GatherBackwardArgs{
		TableRows: a.TableRows, Cols: a.Cols, DTable: c.f(a.DTable), Index: c.i(a.Index), DY: c.f(a.DY), LDDY: a.LDDY,
	})
}

// CopyBlock is part of Rows.
func (c *CPU) CopyBlock(a CopyBlockArgs) {
	c.engine.CopyMatrix(kernel.CopyMatrixArgs{
		Rows: a.Rows, Cols: a.Cols, X: c.words(a.X)[a.OffsetX:], Y: c.words(a.Y)[a.OffsetY:], LDX: a.LDX, LDY: a.LDY, Accumulate: a.Accumulate,
	})
}

func (c *CPU) patchify(a PatchifyArgs) kernel.PatchifyArgs {
	return kernel.PatchifyArgs{B: a.B, Channels: a.Channels, Height: a.Height, Width: a.Width, Patch: a.Patch, X: c.f(a.Images), Y: c.f(a.Patches)}
}

// Patchify is part of Rows.
func (c *CPU) Patchify(a PatchifyArgs) { c.engine.Patchify(c.patchify(a)) }

// Unpatchify is part of Rows.
func (c *CPU) Unpatchify(a PatchifyArgs) { c.engine.Unpatchify(c.patchify(a)) }

// MeanPool is part of Rows.
func (c *CPU) MeanPool(a MeanPoolArgs) {
	c.engine.MeanPool(kernel.MeanPoolArgs{B: a.B, T: a.T, C: a.C, Lengths: c.i(a.Lengths), X: c.f(a.X), Y: c.f(a.Y)})
}

// MeanPoolBackward is part of Rows.
func (c *CPU) MeanPoolBackward(a MeanPoolBackwardArgs) {
	c.engine.MeanPoolBackward(kernel.MeanPoolBackwardArgs{
		B: a.B, T: a.T, C: a.C, Lengths: c.i(a.Lengths), DY: c.f(a.DY), DX: c.f(a.DX), Accumulate: a.Accumulate,
	})
}

// Update is part of Optimiser.
func (c *CPU) Update(a UpdateArgs) (float64, error) {
	squares, err := c.SumSquares(a.Grads)
	norm := math.Sqrt(squares)
	if err != nil || math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, err
	}
	scale := a.Scale(norm)
	for _, p := range a.AdamW {
		c.engine.AdamW(kernel.AdamWArgs{
			P: c.f(p.P), G: c.f(p.G), M: c.f(p.M), V: c.f(p.V), LR: p.LR, Beta1: p.Beta1, Beta2: p.Beta2, Eps: p.Eps,
			Decay: p.Decay, GradScale: scale, Step: p.Step,
		})
	}
	for _, p := range a.Muon {
		s := p.P.Shape()
		rows, cols := s[len(s)-2], s[len(s)-1]
		c.engine.Muon(kernel.MuonArgs{
			Batch: p.P.Size() / max(1, rows*cols), Rows: rows, Cols: cols, P: c.f(p.P), G: c.f(p.G), M: c.f(p.M),
			LR: p.LR, Momentum: p.Momentum, Decay: p.Decay, GradScale: scale,
		})
	}
	return norm, nil
}

// EMA is part of Optimiser.
func (c *CPU) EMA(dst, x *Value, decay float32) {
	mustMatch("EMA", dst, x)
	c.engine.EMA(c.f(dst), c.f(x), decay)
}

// Clamp is part of Optimiser.
func (c *CPU) Clamp(v *Value, lo, hi float32) {
	w := c.f(v)
	for i, x := range w {
		w[i] = min(max(x, lo), hi)
	}
}

// SumSquares is part of Optimiser.
func (c *CPU) SumSquares(vs []*Value) (float64, error) {
	var s float64
	for _, v := range vs {
		s += c.engine.SumSquares(c.f(v))
	}
	return s, nil
}

// Grid is part of Rows.
func (c *CPU) Grid(a GridArgs) {
	c.engine.Grid(kernel.GridArgs{
		Side: a.Side, Cols: a.Cols, Down: c.i(a.Down), Across: c.i(a.Across), Heights: c.i(a.Heights), Widths: c.i(a.Widths),
		Table: c.f(a.Table), Y: c.f(a.Y),
	})
}

// GridBackward is part of Rows.
func (c *CPU) GridBackward(a GridBackwardArgs) {
	c.engine.GridBackward(kernel.GridBackwardArgs{
		Side: a.Side, Cols: a.Cols, Down: c.i(a.Down), Across: c.i(a.Across), Heights: c.i(a.Heights), Widths: c.i(a.Widths),
		DTable: c.f(a.DTable), DY: c.f(a.DY),
	})
}
