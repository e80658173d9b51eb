package kernel

import "math"

// HeadInput is a language head at work: the logits X W + bias, which never all exist. X is (Rows, Width), W (Width, Classes), or (Classes, Width)
// if TransW is set, Bias (Classes) or nil, all tight. Targets has a class per row, or IgnoreIndex. Logits is scratch of n Classes floats, n at
// least 1: the rows of a block.
type HeadInput struct {
	Rows, Width, Classes int
	X, W, Bias           []float32
	TransW               bool
	Targets              []int32
	Logits               []float32
}

func (a *HeadInput) check(name string) (counted int) {
	a.checkProduct(name)
	return countTargets(name, a.Targets, a.Rows, a.Classes)
}

func (a *HeadInput) checkProduct(name string) {
	need(name, "X", a.X, a.Rows*a.Width)
	need(name, "W", a.W, a.Width*a.Classes)
	need(name, "Logits", a.Logits, a.Classes)
	if a.Bias != nil {
		need(name, "Bias", a.Bias, a.Classes)
	}
}

// blocks visits the blocks of rows, in order, each with its logits.
func (a *HeadInput) blocks(e *Engine, visit func(lo, hi int, logits []float32)) {
	if a.Rows*a.Classes == 0 {
		return
	}
	n := len(a.Logits) / a.Classes
	for lo := 0; lo < a.Rows; lo += n {
		hi := min(a.Rows, lo+n)
		visit(lo, hi, a.product(e, lo, hi))
	}
}

// product makes the logits of a block.
func (a *HeadInput) product(e *Engine, lo, hi int) []float32 {
	z := a.Logits[:(hi-lo)*a.Classes]
	e.Gemm(GemmArgs{M: hi - lo, N: a.Classes, K: a.Width, A: a.X[lo*a.Width:], B: a.W, TransB: a.TransW, C: z, Epilogue: Epilogue{Bias: a.Bias}})
	return z
}

// HeadGradients are where the gradients of a head go. DX is written, or accumulated; DW, of W's layout, and DBias accumulate. Each may be nil.
type HeadGradients struct {
	DX, DW, DBias []float32
	Accumulate    bool
}

// add turns the gradient of a block's logits into those of the head.
func (d *HeadGradients) add(e *Engine, a *HeadInput, lo, hi int, dlogits []float32) {
	n, x := hi-lo, a.X[lo*a.Width:hi*a.Width]
	if d.DX != nil {
		need("a head's gradient", "DX", d.DX, a.Rows*a.Width)
		e.Gemm(GemmArgs{M: n, N: a.Width, K: a.Classes, A: dlogits, B: a.W, TransB: !a.TransW, C: d.DX[lo*a.Width:], Accumulate: d.Accumulate})
	}
	if d.DW != nil {
		w := GemmArgs{M: a.Width, N: a.Classes, K: n, A: x, TransA: true, B: dlogits, C: d.DW, Accumulate: true}
		if a.TransW {
			w.M, w.N, w.A, w.B = a.Classes, a.Width, dlogits, x
		}
		e.Gemm(w)
	}
	if d.DBias != nil {
		e.SumRows(SumRowsArgs{Rows: n, Cols: a.Classes, Period: 1, X: dlogits, DP: d.DBias})
	}
}

// HeadCrossEntropyArgs is CrossEntropy of a head's logits. Smoothing is that of CrossEntropyArgs. Loss and LogSumExp receive a number per row.
type HeadCrossEntropyArgs struct {
	HeadInput
	Smoothing       float32
	Loss, LogSumExp []float32
}

func (a *HeadCrossEntropyArgs) check(name string) (counted int) {
	need(name, "LogSumExp", a.LogSumExp, a.Rows)
	return a.HeadInput.check(name)
}

// HeadCrossEntropy writes the row losses and returns their mean over the rows that count.
func (e *Engine) HeadCrossEntropy(a HeadCrossEntropyArgs) (mean float64, counted int) {
	const name = "HeadCrossEntropy"
	counted = a.check(name)
	need(name, "Loss", a.Loss, a.Rows)
	uniform := a.Smoothing / float32(max(1, a.Classes))
	a.blocks(e, func(lo, hi int, logits []float32) {
		e.rows(hi-lo, a.Classes, func(r0, r1 int) {
			for r := r0; r < r1; r++ {
				x, t := row(logits, r, a.Classes, a.Classes), a.Targets[lo+r]
				if t == IgnoreIndex {
					a.Loss[lo+r], a.LogSumExp[lo+r] = 0, 0
					continue
				}
				linear := (1-a.Smoothing)*x[t] + uniform*e.sumIf(a.Smoothing != 0, x)
				top := e.isa.max(x)
				lse := top + float32(math.Log(float64(e.isa.expSum(x, x, 1, top))))
				a.Loss[lo+r], a.LogSumExp[lo+r] = lse-linear, lse
			}
		})
	})
	return meanLoss(a.Loss[:a.Rows], counted), counted
}

// HeadCrossEntropyBackwardArgs takes the forward's arguments, with its LogSumExp; Loss is not read. The gradients are those of the mean times
// Scale.
type HeadCrossEntropyBackwardArgs struct {
	Forward HeadCrossEntropyArgs
	Scale   float32
	HeadGradients
}

// HeadCrossEntropyBackward computes the logits again, block by block; each block adds to DW and DBias in turn.
func (e *Engine) HeadCrossEntropyBackward(b HeadCrossEntropyBackwardArgs) {
	a := &b.Forward
	g := b.Scale / float32(max(1, a.check("HeadCrossEntropyBackward")))
	a.blocks(e, func(lo, hi int, logits []float32) {
		e.rows(hi-lo, a.Classes, func(r0, r1 int) {
			for r := r0; r < r1; r++ {
				a.gradient(e, row(logits, r, a.Classes, a.Classes), lo+r, g)
			}
		})
		b.add(e, &a.HeadInput, lo, hi, logits)
	})
}

// gradient turns the logits of a row into their gradient.
func (a *HeadCrossEntropyArgs) gradient(e *Engine, x []float32, r int, g float32) {
	t := a.Targets[r]
	if t == IgnoreIndex {
		clear(x)
		return
	}
	e.isa.expSum(x, x, 1, a.LogSumExp[r])
	e.isa.affine(x, x, g, -g*a.Smoothing/float32(a.Classes))
	x[t] -= g * (1 - a.Smoothing)
}
