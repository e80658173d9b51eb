package activities

import (
	"context"

	"tempera/datagen/example"
)

// writtenSoFar is what a stage's samplers have written, by pass: the checkpoint of kinds that sample.
type writtenSoFar struct {
	Passes map[string][][]savedText
}

// savedText is a completion. Its text may be no UTF-8.
type savedText struct {
	Text           string
	Tokens, Budget int
	Ended          bool
	LogProb        float64
	Drawn          *example.Drawn // where the stage records it
}

// samplingProgress keeps what was written, for all samplers of a task.
type samplingProgress struct{ *resumed[writtenSoFar] }

// resumeSampling reads what an earlier attempt has written.
func resumeSampling(ctx context.Context, t *Task) (*samplingProgress, error) {
	r, err := resume[writtenSoFar](ctx, t)
	if err != nil {
		return nil, err
	}
	if r.known.Passes == nil {
		r.known.Passes = map[string][][]savedText{}
	}
	return &samplingProgress{r}, nil
}

// before gives rows the completions that a pass has already.
func (p *samplingProgress) before(pass string, prompts []prompted) []rolled {
	out := make([]rolled, 0, len(prompts))
	for i, texts := range p.known.Passes[pass] {
		r := rolled{row: prompts[i].row}
		for _, t := range texts {
			r.completions = append(r.completions, completion{text: t.Text, tokens: t.Tokens, ended: t.Ended, budget: t.Budget, logProb: t.LogProb, drawn: t.Drawn})
		}
		out = append(out, r)
	}
	return out
}

// add notes more completions of a pass.
func (p *samplingProgress) add(ctx context.Context, pass string, more []rolled) error {
	for _, r := range more {
		texts := make([]savedText, len(r.completions))
		for i, c := range r.completions {
			texts[i] = savedText{c.text, c.tokens, c.budget, c.ended, c.logProb, c.drawn}
		}
		p.known.Passes[pass] = append(p.known.Passes[pass], texts)
	}
	return p.grew(ctx, len(more))
}
