package generate

import (
	"cmp"
	"math"
	"slices"
)

// beams is a beam search over as many branches. A text that ends leaves its branch to the next best; the search stops when no live text can still
// beat the worst of that many ended ones at its present length, or when the budget is spent.
type beams struct {
	*limits
	request *Request
	decode  func(tokens []int32) string
	live    []Text // one per branch, best first
	ended   []Text
}

func newBeams(l *limits, r *Request, decode func(tokens []int32) string) *beams {
	return &beams{limits: l, request: r, decode: decode, live: make([]Text, r.Search.Beams)}
}

func (b *beams) width() int                { return len(b.live) }
func (b *beams) tokens(branch int) []int32 { return b.live[branch].Tokens }
func (b *beams) events() []Event           { return nil }

// extension is a live text with one more token.
type extension struct {
	row int
	Candidate
	sum float64
}

func (b *beams) advance(v view) (from []int, done bool, err error) {
	width := len(b.live)
	next := b.extensions(v)
	if len(next) < width {
		return nil, true, errNoToken
	}
	var live []Text
	for rank, x := range next {
		r := b.live[x.row]
		r.LogProbs = append(slices.Clone(r.LogProbs), x.LogProb)
		r.LogProb = x.sum
		switch {
		case !b.ends[x.Token]:
			r.Tokens = append(slices.Clone(r.Tokens), x.Token)
			live, from = append(live, r), append(from, x.row)
		case rank < width:
			r.End, r.EndToken = b.end(x.Token), x.Token
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
func (b *beams) extensions(v view) []extension {
	width, written := len(b.live), len(b.live[0].LogProbs)
	rows := width
	if written == 0 {
		rows = 1 // all branches hold the prompt still
	}
	var all []extension
	for r := range rows {
		for _, c := range top(v.rows(r, 1).logProbs, b.hidden(written), 2*width) {
			all = append(all, extension{row: r, Candidate: c, sum: b.live[r].LogProb + float64(c.LogProb)})
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
func (b *beams) score(r Text) float64 {
	return r.LogProb / math.Pow(float64(max(1, len(r.LogProbs))), b.request.Search.LengthPenalty)
}

// results are the best ended texts, and the live ones too where the budget is spent or too few have ended.
func (b *beams) results() []Text {
	n := max(1, b.request.Samples)
	texts := b.ended
	if len(b.live[0].LogProbs) == b.budget || len(texts) < n {
		texts = append(slices.Clone(texts), b.live...)
	}
	texts = slices.Clone(texts)
	slices.SortStableFunc(texts, func(x, y Text) int { return cmp.Compare(b.score(y), b.score(x)) })
	texts = texts[:n]
	for i := range texts {
		if texts[i].End == "" {
			texts[i].End = EndLength
		}
		if b.decode != nil {
			texts[i].Text = b.decode(texts[i].Tokens)
		}
	}
	return texts
}
