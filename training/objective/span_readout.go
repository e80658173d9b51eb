package objective

import (
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// Readout is what is read out of a model at a span.
type Readout int

// The readouts.
const (
	// LogProbs is the sum of the log-probabilities of the span's tokens.
	LogProbs Readout = iota
	// Scores is the number that the model's score head gives to the span, see model.Score.
	Scores
)

// readout turns the numbers of tokens into those of spans, and gradients back.
type readout struct {
	kind  Readout
	score model.Score
}

// tokens are the tensors that a readout reads: log-probabilities and entropies (N, 2), with the weight and the bias of a head that reads
// them, or scores (N, 1).
func (r readout) tokens(m *model.Model, g *graph.Graph, states, targets *graph.Node) []*graph.Node {
	if r.kind == Scores && r.score.Heads() {
		return []*graph.Node{m.Scores(g, states)}
	}
	in := []*graph.Node{m.TokenLogProbs(g, states, targets, 1)}
	if r.kind == Scores {
		weight, bias := m.LikelihoodScore(g)
		in = append(in, weight, bias)
	}
	return in
}

// counted visits the numbers of the tokens of a span that count: a token counts where it is the target of the one before it.
func counted(targets []int32, bound []int32, visit func(token int)) {
	for t := max(1, int(bound[0])); t < int(bound[1]); t++ {
		if targets[t-1] != device.IgnoreIndex {
			visit(t)
		}
	}
}

// count is the number of tokens of each span that count.
func count(a spanArrays) []int {
	counts := make([]int, len(a.bounds)/2)
	for s := range counts {
		counted(a.targets, a.bounds[2*s:], func(int) { counts[s]++ })
	}
	return counts
}

// places visits what a span's number is the sum of: elements of the first tensor.
func (r readout) places(a spanArrays, span int, visit func(element int)) {
	bound := a.bounds[2*span : 2*span+2]
	if r.kind == LogProbs || !r.score.Heads() {
		counted(a.targets, bound, func(t int) { visit(2 * (t - 1)) })
		return
	}
	last := -1
	counted(a.targets, bound, func(t int) {
		if r.score.Readout == model.SumOfScores {
			visit(t)
		}
		last = t
	})
	if r.score.Readout == model.LastScore && last >= 0 {
		visit(last)
	}
}

// affine is what a sum is multiplied by, and what is added to it.
func (r readout) affine(in [][]float64) (scale, bias float64) {
	switch {
	case r.kind == LogProbs || r.score.Readout == model.LastScore:
		return 1, 0
	case r.score.Readout == model.Likelihood:
		return r.score.Scale * in[1][0], in[2][0]
	}
	return r.score.Scale, 0
}

// values are the numbers of the spans; 0 of one in which nothing counts.
func (r readout) values(in [][]float64, a spanArrays) []float64 {
	values := make([]float64, len(a.bounds)/2)
	scale, bias := r.affine(in)
	for s := range values {
		if sum, ok := r.sum(in, a, s); ok {
			values[s] = scale*sum + bias
		}
	}
	return values
}

func (r readout) sum(in [][]float64, a spanArrays, span int) (sum float64, ok bool) {
	r.places(a, span, func(i int) { sum, ok = sum+in[0][i], true })
	return sum, ok
}

// back adds to grad the gradient of a loss whose gradient with respect to the values is d.
func (r readout) back(in, grad [][]float64, a spanArrays, d []float64) {
	scale, _ := r.affine(in)
	for s := range d {
		if d[s] == 0 {
			continue
		}
		r.places(a, s, func(i int) { grad[0][i] += d[s] * scale })
		if sum, ok := r.sum(in, a, s); ok && len(in) > 1 {
			grad[1][0] += d[s] * r.score.Scale * sum
			grad[2][0] += d[s]
		}
	}
}
