package generate

import (
	"context"
	"errors"
	"fmt"
)

// Scored is a text whose tokens are to be judged, prompt and completion together.
type Scored struct {
	Text  []Part
	Image []float32 // as Request's
	// Temperature divides the logits; 0 means 1.
	Temperature float64
}

// Score returns the log-probability of every token of each text given the ones before it: 0 for the first, and for embeddings. They pass the
// network many at a time, beside whatever is being written, and equal to the bit what Generate reports for a token that it wrote.
func (g *Generator) Score(ctx context.Context, texts []Scored) ([][]float32, error) {
	var faults []error
	jobs := make([]*job, len(texts))
	for i, t := range texts {
		j := &job{request: Request{Prompt: t.Text, Image: t.Image}, left: 1}
		if err := g.validateScored(t); err != nil {
			faults = append(faults, fmt.Errorf("request %d: %w", i, err))
			continue
		}
		j.prompt = g.newPrompt(t.Text, t.Image)
		j.prompt.scoreWanted = true
		if t.Temperature > 0 {
			j.prompt.temperature = t.Temperature
		}
		j.units = []*unit{{job: j}}
		jobs[i] = j
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	if err := g.run(ctx, jobs); err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	out := make([][]float32, len(jobs))
	for i, j := range jobs {
		out[i] = j.prompt.tokenScores
	}
	return out, nil
}

func (g *Generator) validateScored(t Scored) error {
	c := &check{g: g, r: &Request{Prompt: t.Text, Image: t.Image}}
	c.prompt()
	switch {
	case len(t.Text) == 0:
		c.add("the text is empty: give tokens")
	case c.length > g.config.Text.Context:
		c.add("the text has %d tokens: the context is %d, shorten it", c.length, g.config.Text.Context)
	}
	if !(t.Temperature >= 0 && t.Temperature <= 1e4) {
		c.add("temperature is %v: give a number from 0 to 10000, such as 1", t.Temperature)
	}
	if p := g.pool; p.For(c.length)+p.For(g.imageTokens) > p.Total() {
		c.add("the text needs %d pages of %d tokens, the memory holds %d: raise the memory", p.For(c.length)+p.For(g.imageTokens), p.Size(), p.Total())
	}
	return errors.Join(c.faults...)
}
