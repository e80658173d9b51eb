package device

// Loss is reductions of logits to a scalar, with their gradients, and what contrastive objectives sample and mix.
type Loss interface {
	CrossEntropy(a CrossEntropyArgs)
	SigLIP(a SigLIPArgs)
	Softmax(a SoftmaxArgs)
	MixTargets(a MixTargetsArgs)
	SampleNegatives(a SampleNegativesArgs)
}

// CrossEntropyArgs is the mean cross-entropy of Rows x Classes logits against class indices or rows of probabilities; exactly one of Targets,
// int32 (Rows), and SoftTargets is set. Rows whose target is IgnoreIndex do not count. Smoothing s mixes a target with the uniform
// distribution: (1-s) onehot + s/Classes.
type CrossEntropyArgs struct {
	Rows, Classes        int
	Logits               *Value
	Targets, SoftTargets *Value
	Smoothing            float32
	RowLoss              *Value // (Rows)
	Mean                 *Value // one element
	DLogits              *Value // the gradient of the mean, or nil; may be Logits
}

// SigLIPArgs is the pairwise sigmoid loss (Zhai et al. 2023) of Rows x Rows logits whose diagonal are the matches: the sum of
// -log sigmoid(z l) / Rows with z = 1 on the diagonal, else -1.
type SigLIPArgs struct {
	Rows    int
	Logits  *Value
	RowLoss *Value // (Rows)
	Mean    *Value // one element
	DLogits *Value // or nil
}

// SoftmaxArgs is y = softmax(x) over rows, or its logarithm. Y may be X.
type SoftmaxArgs struct {
	Rows, Cols int
	X, Y       *Value
	Log        bool
}

// MixTargetsArgs is y = alpha softmax(logits) + (1-alpha) onehot, row r's hard target being column r (momentum distillation, Li et al. 2021).
type MixTargetsArgs struct {
	Rows, Cols int
	Logits     *Value
	Alpha      *Value // one element
	Y          *Value
}

// SampleNegativesArgs draws for each row r of the B x B similarities one column c other than r, with probability proportional to
// softmax(row)[c] + 1e-4 (Li et al. 2022, BLIP): the first c whose cumulative probability exceeds Uniform[r], in [0, 1). Groups, int32 (B) or
// nil, also excludes columns of the same group as r: equal captions are no negatives. A row whose columns are all excluded
// by their group draws among all others. B is at least 2.
type SampleNegativesArgs struct {
	B       int
	Sim     *Value
	Uniform *Value // (B)
	Groups  *Value
	Index   *Value // int32 (B)
}
