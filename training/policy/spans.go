package policy

// Spans are where the sequences of a list of tokens end: those of sequence i are [Spans[i-1], Spans[i]). The tokens are those that are learned: the
// sampled ones of a batch of sequences, one sequence after the other, without prompts, padding and what an environment put in.
type Spans []int

// Of returns the bounds of sequence i.
func (s Spans) Of(i int) (from, to int) {
	if i > 0 {
		from = s[i-1]
	}
	return from, s[i]
}

// Tokens is the number of all tokens.
func (s Spans) Tokens() int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// Spread gives each token the value of its sequence.
func (s Spans) Spread(values []float64) []float64 {
	out := make([]float64, s.Tokens())
	for i, v := range values {
		for t, to := s.Of(i); t < to; t++ {
			out[t] = v
		}
	}
	return out
}
