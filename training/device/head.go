package device

// Head is a language head fused with what follows it.
type Head interface {
	HeadCrossEntropy(a HeadCrossEntropyArgs)
	HeadCrossEntropyBackward(a HeadCrossEntropyBackwardArgs)
	HeadLogProbs(a HeadLogProbsArgs)
	HeadLogProbsBackward(a HeadLogProbsBackwardArgs)
	HeadDivergence(a HeadDivergenceArgs)
	HeadDivergenceBackward(a HeadDivergenceBackwardArgs)
}

// HeadInput is a language head at work: the logits x W + Bias, of which only as many rows exist at a time as Logits holds. X is (Rows, Width), W
// (Width, Classes), or (Classes, Width) if TransW is set, Bias (Classes) or nil, Targets int32 (Rows) with IgnoreIndex for rows that do not
// count, Logits scratch (n, Classes), n at least 1.
type HeadInput struct {
	Rows, Width, Classes int
	X, W, Bias           *Value
	TransW               bool
	Targets              *Value
	Logits               *Value
}

// HeadGradients are where the gradients of a head go. DX is written, or accumulated; DW and DBias always accumulate. Each may be nil.
type HeadGradients struct {
	DX, DW, DBias *Value
	Accumulate    bool
}

// HeadCrossEntropyArgs is the mean cross-entropy of a head's logits, as in CrossEntropyArgs. RowLoss and LogSumExp receive a number per row, Mean
// one element.
type HeadCrossEntropyArgs struct {
	HeadInput
	Smoothing          float32
	RowLoss, LogSumExp *Value
	Mean               *Value
}

// HeadCrossEntropyBackwardArgs takes the forward's arguments, with its LogSumExp; RowLoss and Mean are not read. The gradients are those of the
// mean times DMean, one element.
type HeadCrossEntropyBackwardArgs struct {
	Forward HeadCrossEntropyArgs
	DMean   *Value
	HeadGradients
}

// HeadLogProbsArgs takes, of the distribution p = softmax(logits / Temperature) of each row, the logarithm of the target's probability and the
// entropy H = -Σ p log p in nats: Y is (Rows, 2), zeros where the target is IgnoreIndex. LogSumExp receives a number per row: the logarithm of the sum of
// the exponentials of logits / Temperature.
type HeadLogProbsArgs struct {
	HeadInput
	Temperature  float32 // positive
	Y, LogSumExp *Value
}

// HeadLogProbsBackwardArgs takes the forward's arguments with its results, and DY (Rows, 2): with g and h the gradients of a row's log-probability
// and entropy, those of its logits are (g (onehot - p) - h p (log p + H)) / Temperature.
type HeadLogProbsBackwardArgs struct {
	Forward HeadLogProbsArgs
	DY      *Value
	HeadGradients
}

// HeadDivergenceArgs compares two heads of one vocabulary: of each row KL(q || p), with q = softmax(teacher's logits / Temperature) and p that of
// the student. Rows whose target, the student's, is IgnoreIndex do not count; the teacher has no Targets. Both Logits hold as many rows.
// RowLoss receives a number per row, Mean one element.
type HeadDivergenceArgs struct {
	Student, Teacher HeadInput
	Temperature      float32 // positive
	RowLoss, Mean    *Value
}

// HeadDivergenceBackwardArgs takes the forward's arguments; RowLoss and Mean are not read. The gradients are the student's, of the mean times
// DMean, one element: of a row's logits (p - q) / Temperature over the number of rows that count.
type HeadDivergenceBackwardArgs struct {
	Forward HeadDivergenceArgs
	DMean   *Value
	HeadGradients
}
