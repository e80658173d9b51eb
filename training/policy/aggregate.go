package policy

// Aggregation is how the losses of tokens become that of a batch.
type Aggregation string

// The aggregations.
const (
	PerSequence Aggregation = "sequence" // the mean of each sequence, then of the sequences (GRPO): tokens of long sequences weigh little
	PerToken    Aggregation = "token"    // the mean of all tokens (DAPO)
	PerLength   Aggregation = "constant" // the sum of a sequence over a constant length, then the mean (Dr. GRPO)
)

// Weighting is an aggregation of a batch.
type Weighting struct {
	By Aggregation
	// Sequences divides where sequences count: those of the batch and, with them, those that were left out because they have no advantage.
	Sequences float64
	Length    float64 // the constant length
}

// Weights are what the tokens of a batch weigh.
func (w Weighting) Weights(s Spans) []float64 {
	out := make([]float64, s.Tokens())
	for i := range s {
		from, to := s.Of(i)
		share := 1 / float64(len(out))
		switch w.By {
		case PerSequence:
			share = 1 / (w.Sequences * float64(to-from))
		case PerLength:
			share = 1 / (w.Sequences * w.Length)
		case PerToken:
		}
		for t := from; t < to; t++ {
			out[t] = share
		}
	}
	return out
}
