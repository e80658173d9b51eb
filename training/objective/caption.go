package objective

import "tempera/training/device"

// textBuffers are variants of a batch's tokens, reused from step to step.
type textBuffers struct {
	tokens, targets []int32
}

// withFirst copies n texts, with another first token. The next call overwrites it.
func (t *textBuffers) withFirst(tokens []int32, n int, first int32) []int32 {
	t.tokens = append(t.tokens[:0], tokens...)
	width := len(tokens) / n
	for i := range n {
		t.tokens[i*width] = first
	}
	return t.tokens
}

// captionTargets are the tokens that follow each token, EOS included; those of
// the prompt, which follows BOS, and padding are left out.
func (t *textBuffers) captionTargets(p pairs, prompt int) []int32 {
	n := len(p.lengths)
	width := len(p.tokens) / n
	t.targets = t.targets[:0]
	for i, length := range p.lengths {
		for j := range width {
			next := j + 1
			if next <= prompt || next >= int(length) {
				t.targets = append(t.targets, device.IgnoreIndex)
				continue
			}
			t.targets = append(t.targets, p.tokens[i*width+next])
		}
	}
	return t.targets
}

// matchAccuracy is the share of 3 B pairs that are judged rightly, the first B
// being matches.
func matchAccuracy(logits []float32, b int) float64 {
	right := 0
	for i := range 3 * b {
		if (logits[2*i+1] > logits[2*i]) == (i < b) {
			right++
		}
	}
	return float64(right) / float64(3*b)
}
