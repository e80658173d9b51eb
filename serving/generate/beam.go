package generate

import (
	"cmp"
	"math"
	"slices"
)

// beams is a beam search over width rows. A text that ends leaves its row to the next best; the search stops when no live text can still beat
// the worst of width ended ones at its present length, or when the budget is spent.
type beams struct {
	*sequence
	live  []Result // one per row, best first
	ended []Result
}

func newBeams(s *sequence) search {
	b := &beams{sequence: s, live: make([]Result, s.request.Search.Beams)}
	return b
}

func (b *beams) input(tokens []int32) int {
	for i := range tokens {
		if b.fed < len(b.prompt) {
			tokens[i] = b.prompt[b.fed]
		} else {
			tokens[i] = b.live[i].Tokens[len(b.live[i].Tokens)-1]
		}
	}
	b.fed++
	return b.fed
}

// extension is a live text with one more token.
type extension struct {
	row int
	candidate
	sum float64
}

func (b *beams) advance(logProbs []float32) (from []int, done bool, err error) {
	if b.fed < len(b.prompt) {
		return nil, false, nil
	}
	width := len(b.live)
	next := b.extensions(logProbs)
	if len(next) < width {
		return nil, true, errNoToken
	}
	var live []Result
	for rank, x := range next {
		r := b.live[x.row]
		r.LogProbs = append(slices.Clone(r.LogProbs), x.logProb)
		r.LogProb = x.sum
		switch {
		case x.token != b.eos:
			r.Tokens = append(slices.Clone(r.Tokens), x.token)
			live, from = append(live, r), append(from, x.row)
		case rank < width:
			r.Ended = true
			b.ended = append(b.ended, r)
		}
		if len(live) == width {
			break
		}
	}
	if len(live) < width {
		return nil, true, errNoToken
	}
	b.live = live
	return from, b.finished(), nil
}

// extensions returns the 2 width best texts with one more token: enough to keep width alive if width of them end.
func (b *beams) extensions(logProbs []float32) []extension {
	width, v := len(b.live), len(b.suppress)
	rows := width
	if len(b.live[0].LogProbs) == 0 {
		rows = 1 // all rows hold the prompt still
	}
	var all []extension
	for r := range rows {
		for _, c := range top(logProbs[r*v:(r+1)*v], b.suppress, 2*width) {
			all = append(all, extension{row: r, candidate: c, sum: b.live[r].LogProb + float64(c.logProb)})
		}
	}
	slices.SortStableFunc(all, func(x, y extension) int { return cmp.Compare(y.sum, x.sum) })
	return all[:min(len(all), 2*width)]
}

func (b *beams) finished() bool {
	if len(b.live[0].LogProbs) == b.budget {
		return true
	}
	if len(b.ended) < len(b.live) {
		return false
	}
	scores := make([]float64, len(b.ended))
	for i, r := range b.ended {
		scores[i] = b.score(r)
	}
	slices.SortFunc(scores, func(x, y float64) int { return cmp.Compare(y, x) })
	return scores[len(b.live)-1] >= b.score(b.live[0])
}

// score is sum log p / length^alpha.
func (b *beams) score(r Result) float64 {
	return r.LogProb / math.Pow(float64(max(1, len(r.LogProbs))), b.request.Search.LengthPenalty)
}

// result is the best ended text, or the best live one if its score is higher and the budget is spent.
func (b *beams) result() Result {
	texts := b.ended
	if len(b.live[0].LogProbs) == b.budget || len(texts) == 0 {
		texts = append(slices.Clone(texts), b.live...)
	}
	return slices.MaxFunc(texts, func(x, y Result) int { return cmp.Compare(b.score(x), b.score(y)) })
}
