package reference

import "tempera/training/device"

// whole gives the logits a place of their own and the arguments of the loss over all of them. free gives it back.
func (b *Backend) whole(a device.HeadCrossEntropyArgs) (loss device.CrossEntropyArgs, free func()) {
	logits, err := device.New(b, device.Floats(a.Rows, a.Classes))
	if err != nil {
		panic(err)
	}
	b.Gemm(device.GemmArgs{M: a.Rows, N: a.Classes, K: a.Width, A: a.X, B: a.W, TransB: a.TransW, C: logits, Bias: a.Bias})
	return device.CrossEntropyArgs{
		Rows: a.Rows, Classes: a.Classes, Logits: logits, Targets: a.Targets, Smoothing: a.Smoothing, RowLoss: a.RowLoss, Mean: a.Mean,
	}, func() { _ = b.Free(logits.Buffer()) }
}

// HeadCrossEntropy is part of device.Head: a product, then CrossEntropy.
func (b *Backend) HeadCrossEntropy(a device.HeadCrossEntropyArgs) {
	loss, free := b.whole(a)
	defer free()
	b.CrossEntropy(loss)
	logits, logSums, targets := b.of(loss.Logits), b.of(a.LogSumExp), b.of(a.Targets)
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
	loss, free := b.whole(f)
	defer free()
	spare, err := device.New(b, device.Floats(f.Rows+1))
	if err != nil {
		panic(err)
	}
	defer func() { _ = b.Free(spare.Buffer()) }()
	loss.RowLoss = device.NewValue(device.Floats(f.Rows), spare.Buffer(), 0)
	loss.Mean, loss.DLogits = device.NewValue(device.Floats(1), spare.Buffer(), f.Rows), loss.Logits
	b.CrossEntropy(loss)
	d := loss.DLogits
	b.ScaleBy(device.ScaleByArgs{X: d, S: a.DMean, Y: d})
	if a.DX != nil {
		b.Gemm(device.GemmArgs{M: f.Rows, N: f.Width, K: f.Classes, A: d, B: f.W, TransB: !f.TransW, C: a.DX, Accumulate: a.Accumulate})
	}
	switch {
	case a.DW == nil:
	case f.TransW:
		b.Gemm(device.GemmArgs{M: f.Classes, N: f.Width, K: f.Rows, A: d, TransA: true, B: f.X, C: a.DW, Accumulate: true})
	default:
		b.Gemm(device.GemmArgs{M: f.Width, N: f.Classes, K: f.Rows, A: f.X, TransA: true, B: d, C: a.DW, Accumulate: true})
	}
	if a.DBias != nil {
		b.SumRows(device.SumRowsArgs{Rows: f.Rows, Cols: f.Classes, Period: 1, X: d, DP: a.DBias})
	}
}
