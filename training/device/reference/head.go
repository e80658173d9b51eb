package reference

import (
	"math"

	"tempera/training/device"
)

// whole gives the logits a place of their own. free gives it back.
func (b *Backend) whole(a device.HeadInput) (logits *device.Value, free func()) {
	logits, err := device.New(b, device.Floats(a.Rows, a.Classes))
	if err != nil {
		panic(err)
	}
	b.Gemm(device.GemmArgs{M: a.Rows, N: a.Classes, K: a.Width, A: a.X, B: a.W, TransB: a.TransW, C: logits, Bias: a.Bias})
	return logits, func() { _ = b.Free(logits.Buffer()) }
}

// headGradients turns the gradient of all logits into those of the head.
func (b *Backend) headGradients(f device.HeadInput, g device.HeadGradients, d *device.Value) {
	if g.DX != nil {
		b.Gemm(device.GemmArgs{M: f.Rows, N: f.Width, K: f.Classes, A: d, B: f.W, TransB: !f.TransW, C: g.DX, Accumulate: g.Accumulate})
	}
	switch {
	case g.DW == nil:
	case f.TransW:
		b.Gemm(device.GemmArgs{M: f.Classes, N: f.Width, K: f.Rows, A: d, TransA: true, B: f.X, C: g.DW, Accumulate: true})
	default:
		b.Gemm(device.GemmArgs{M: f.Width, N: f.Classes, K: f.Rows, A: f.X, TransA: true, B: d, C: g.DW, Accumulate: true})
	}
	if g.DBias != nil {
		b.SumRows(device.SumRowsArgs{Rows: f.Rows, Cols: f.Classes, Period: 1, X: d, DP: g.DBias})
	}
}

// crossEntropyOf are the arguments of the loss over all logits.
func crossEntropyOf(a device.HeadCrossEntropyArgs, logits *device.Value) device.CrossEntropyArgs {
	return device.CrossEntropyArgs{
		Rows: a.Rows, Classes: a.Classes, Logits: logits, Targets: a.Targets, Smoothing: a.Smoothing, RowLoss: a.RowLoss, Mean: a.Mean,
	}
}

// HeadCrossEntropy is part of device.Head: a product, then CrossEntropy.
func (b *Backend) HeadCrossEntropy(a device.HeadCrossEntropyArgs) {
	z, free := b.whole(a.HeadInput)
	defer free()
	b.CrossEntropy(crossEntropyOf(a, z))
	logits, logSums, targets := b.of(z), b.of(a.LogSumExp), b.of(a.Targets)
	for r := range a.Rows {
		logSums[r] = 0
		if int(targets[r]) != device.IgnoreIndex {
			_, logSums[r] = softmax(rowOf(logits, r, a.Classes))
		}
	}
}

// HeadCrossEntropyBackward is part of device.Head.
func (b *Backend) HeadCrossEntropyBackward(a device.HeadCrossEntropyBackwardArgs) {
	f := a.Forward
	d, free := b.whole(f.HeadInput)
	defer free()
	spare, err := device.New(b, device.Floats(f.Rows+1))
	if err != nil {
		panic(err)
	}
	defer func() { _ = b.Free(spare.Buffer()) }()
	loss := crossEntropyOf(f, d)
	loss.RowLoss = device.NewValue(device.Floats(f.Rows), spare.Buffer(), 0)
	loss.Mean, loss.DLogits = device.NewValue(device.Floats(1), spare.Buffer(), f.Rows), d
	b.CrossEntropy(loss)
	b.ScaleBy(device.ScaleByArgs{X: d, S: a.DMean, Y: d})
	b.headGradients(f.HeadInput, a.HeadGradients, d)
}

// tempered divides the logits of a row by the temperature.
func tempered(x []float64, temperature float32) []float64 {
	z := make([]float64, len(x))
	for i, v := range x {
		z[i] = v / float64(temperature)
	}
	return z
}

// entropyOf is that of a distribution, in nats.
func entropyOf(p []float64) float64 {
	h := 0.0
	for _, v := range p {
		if v > 0 {
			h -= v * math.Log(v)
		}
	}
	return h
}

// HeadLogProbs is part of device.Head.
func (b *Backend) HeadLogProbs(a device.HeadLogProbsArgs) {
	z, free := b.whole(a.HeadInput)
	defer free()
	logits, y, logSums, targets := b.of(z), b.of(a.Y), b.of(a.LogSumExp), b.ints(a.Targets)
	for r, t := range targets {
		if t == device.IgnoreIndex {
			y[2*r], y[2*r+1], logSums[r] = 0, 0, 0
			continue
		}
		x := tempered(rowOf(logits, r, a.Classes), a.Temperature)
		p, logSum := softmax(x)
		y[2*r], y[2*r+1], logSums[r] = x[t]-logSum, entropyOf(p), logSum
	}
}

// HeadLogProbsBackward is part of device.Head.
func (b *Backend) HeadLogProbsBackward(a device.HeadLogProbsBackwardArgs) {
	f := a.Forward
	z, free := b.whole(f.HeadInput)
	defer free()
	logits, dy, targets := b.of(z), b.of(a.DY), b.ints(f.Targets)
	for r, t := range targets {
		x := rowOf(logits, r, f.Classes)
		if t == device.IgnoreIndex {
			clear(x)
			continue
		}
		scaled := tempered(x, f.Temperature)
		p, logSum := softmax(scaled)
		g, h, entropy := dy[2*r], dy[2*r+1], entropyOf(p)
		for c := range x {
			x[c] = -g*p[c] - h*p[c]*(scaled[c]-logSum+entropy)
			if c == t {
				x[c] += g
			}
			x[c] /= float64(f.Temperature)
		}
	}
	b.headGradients(f.HeadInput, a.HeadGradients, z)
}
