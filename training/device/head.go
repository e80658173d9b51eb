package device

// Head is a language head fused with its loss.
type Head interface {
	HeadCrossEntropy(a HeadCrossEntropyArgs)
	HeadCrossEntropyBackward(a HeadCrossEntropyBackwardArgs)
}

// HeadCrossEntropyArgs is the mean cross-entropy, as in CrossEntropyArgs, of the logits x W + Bias, of which only as many rows exist at a time as
// Logits holds: X is (Rows, Width), W (Width, Classes), or (Classes, Width) if TransW is set, Bias (Classes) or nil, Targets int32 (Rows), Logits
// scratch (n, Classes), n at least 1. RowLoss and LogSumExp receive a number per row, Mean one element.
type HeadCrossEntropyArgs struct {
	Rows, Width, Classes int
	X, W, Bias           *Value
	TransW               bool
	Targets              *Value
	Smoothing            float32
	Logits               *Value
	RowLoss, LogSumExp   *Value
	Mean                 *Value
}

// HeadCrossEntropyBackwardArgs takes the forward's arguments, with its LogSumExp; RowLoss and Mean are not read. The gradients are those of the
// mean times DMean, one element. DX is written, or accumulated; DW and DBias always accumulate. Each may be nil.
type HeadCrossEntropyBackwardArgs struct {
	Forward       HeadCrossEntropyArgs
	DMean         *Value
	DX, DW, DBias *Value
	Accumulate    bool
}
