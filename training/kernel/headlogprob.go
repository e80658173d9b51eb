package kernel

import "math"

// HeadLogProbsArgs takes, of the distribution softmax(logits / Temperature) of each row, the logarithm of the target's probability and the entropy
// in nats: Y is (Rows, 2), zeros where the target is IgnoreIndex. LogSumExp (Rows) is what the backward needs of a row.
type HeadLogProbsArgs struct {
	HeadInput
	Temperature  float32
	Y, LogSumExp []float32
}

func (a *HeadLogProbsArgs) check(name string) {
	a.HeadInput.check(name)
	need(name, "Y", a.Y, 2*a.Rows)
	need(name, "LogSumExp", a.LogSumExp, a.Rows)
	require(a.Temperature > 0, "%s.Temperature is %v, must be positive", name, a.Temperature)
}

// HeadLogProbs shifts each row of logits by its largest before anything is summed, so that the entropy is no difference of large numbers.
func (e *Engine) HeadLogProbs(a HeadLogProbsArgs) {
	a.check("HeadLogProbs")
	a.blocks(e, func(lo, hi int, logits []float32) {
		e.rows(hi-lo, a.Classes, func(r0, r1 int) {
			l := e.lease()
			defer e.release(l)
			p := l.buf(buf0, a.Classes)
			for r := r0; r < r1; r++ {
				a.forward(e, row(logits, r, a.Classes, a.Classes), p, lo+r)
			}
		})
	})
}

// forward does row r of logits x. p is scratch.
func (a *HeadLogProbsArgs) forward(e *Engine, x, p []float32, r int) {
	y, t := a.Y[2*r:2*r+2], a.Targets[r]
	if t == IgnoreIndex {
		y[0], y[1], a.LogSumExp[r] = 0, 0, 0
		return
	}
	inv := 1 / a.Temperature
	top := e.isa.max(x) * inv
	e.isa.affine(x, x, inv, -top)
	sum := e.isa.expSum(p, x, 1, 0)
	log := float32(math.Log(float64(sum)))
	y[0], y[1], a.LogSumExp[r] = x[t]-log, log-e.isa.dot(p, x)/sum, top+log
}

// HeadLogProbsBackwardArgs takes the forward's arguments with its results, and DY (Rows, 2): with g and h the gradients of a row's log-probability
// and entropy H, those of the logits are (g (onehot - p) - h p (log p + H)) / Temperature.
type HeadLogProbsBackwardArgs struct {
	Forward HeadLogProbsArgs
	DY      []float32
	HeadGradients
}

// HeadLogProbsBackward computes the logits again, block by block; each block adds to DW and DBias in turn.
func (e *Engine) HeadLogProbsBackward(b HeadLogProbsBackwardArgs) {
	const name = "HeadLogProbsBackward"
	a := &b.Forward
	a.check(name)
	need(name, "DY", b.DY, 2*a.Rows)
	a.blocks(e, func(lo, hi int, logits []float32) {
		e.rows(hi-lo, a.Classes, func(r0, r1 int) {
			l := e.lease()
			defer e.release(l)
			p := l.buf(buf0, a.Classes)
			for r := r0; r < r1; r++ {
				b.gradient(e, row(logits, r, a.Classes, a.Classes), p, lo+r)
			}
		})
		b.add(e, &a.HeadInput, lo, hi, logits)
	})
}

// gradient turns the logits x of row r into their gradient. p is scratch.
func (b *HeadLogProbsBackwardArgs) gradient(e *Engine, x, p []float32, r int) {
	a := &b.Forward
	t := a.Targets[r]
	if t == IgnoreIndex {
		clear(x)
		return
	}
	inv := 1 / a.Temperature
	g, h, entropy := b.DY[2*r], b.DY[2*r+1], a.Y[2*r+1]
	if h == 0 {
		e.isa.expSum(x, x, inv, a.LogSumExp[r])
		e.isa.scale(x, x, -g*inv)
	} else {
		e.isa.expSum(p, x, inv, a.LogSumExp[r])
		e.isa.affine(x, x, inv, -a.LogSumExp[r]) // log p
		e.isa.affine(x, x, -h*inv, -(g+h*entropy)*inv)
		e.isa.mul(x, x, p)
	}
	x[t] += g * inv
}
