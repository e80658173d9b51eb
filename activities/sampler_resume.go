package activities

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"time"

	"tempera/datagen/example"
)

// writtenSoFar is what a stage's samplers have written, by pass: the checkpoint of kinds that sample. Texts depend on their rows and the seed only, so that a
// stage that goes on from here ends with the same bits.
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

// savePause is the least time between two checkpoints.
const savePause = 20 * time.Second

// samplingProgress keeps what was written, for all samplers of a task.
type samplingProgress struct {
	task  *Task
	known writtenSoFar
	saved time.Time
	steps int64
}

// resumeSampling reads what an earlier attempt has written.
func resumeSampling(ctx context.Context, t *Task) (*samplingProgress, error) {
	p := &samplingProgress{task: t, known: writtenSoFar{map[string][][]savedText{}}, saved: time.Now()}
	_, err := t.Checkpoints.Load(ctx, func(step int64, r io.Reader) error {
		p.steps = step
		p.known = writtenSoFar{}
		return gob.NewDecoder(r).Decode(&p.known)
	})
	if p.known.Passes == nil {
		p.known.Passes = map[string][][]savedText{}
	}
	if err != nil {
		return nil, fmt.Errorf("what was written before: %w", err)
	}
	return p, nil
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

// add notes more completions of a pass and saves them if it is time, or now where the worker stops: then it returns ErrStopped.
func (p *samplingProgress) add(ctx context.Context, pass string, more []rolled) error {
	for _, r := range more {
		texts := make([]savedText, len(r.completions))
		for i, c := range r.completions {
			texts[i] = savedText{c.text, c.tokens, c.budget, c.ended, c.logProb, c.drawn}
		}
		p.known.Passes[pass] = append(p.known.Passes[pass], texts)
		p.steps++
	}
	stopping := false
	select {
	case <-p.task.Stopping:
		stopping = true
	default:
	}
	if !stopping && time.Since(p.saved) < savePause {
		return nil
	}
	p.saved = time.Now()
	err := p.task.Checkpoints.Save(ctx, p.steps, func(w io.Writer) error { return gob.NewEncoder(w).Encode(p.known) })
	if err == nil && stopping {
		err = ErrStopped
	}
	return err
}
