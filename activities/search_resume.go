package activities

import (
	"context"

	"tempera/serving/search"
)

// searchedSoFar is what the writer and the verifier of a stage gave, call by call: the checkpoint of searches. A search asks the same again, so that the
// next attempt hears the old answers up to where the last one stopped.
type searchedSoFar struct {
	Steps  [][][]search.Step // continuations of each beginning that was asked for
	Scores [][]float64       // of each text that was judged
}

// searchProgress answers by what is known, and asks the writer and the verifier where nothing is.
type searchProgress struct {
	*resumed[searchedSoFar]
	writer   search.Writer
	verifier search.Verifier

	beginnings, texts int // of this attempt that have their answers
}

// Write implements search.Writer. The beginnings of a call are written some at a time: each has a seed of its own.
func (p *searchProgress) Write(ctx context.Context, from []search.Beginning) ([][][]search.Step, error) {
	begun := p.beginnings
	p.beginnings += len(from)
	for known := len(p.known.Steps); known < p.beginnings; known = len(p.known.Steps) {
		part := from[known-begun:]
		for n, samples := 0, 0; n < len(part); n++ {
			if samples += part[n].Samples; samples >= chunk {
				part = part[:n+1]
			}
		}
		steps, err := p.writer.Write(ctx, part)
		if err != nil {
			return nil, err
		}
		p.known.Steps = append(p.known.Steps, steps...)
		if err := p.grew(ctx, len(steps)); err != nil {
			return nil, err
		}
	}
	return p.known.Steps[begun:p.beginnings], nil
}

// Judge implements search.Verifier.
func (p *searchProgress) Judge(ctx context.Context, texts []search.Text) ([][]float64, error) {
	begun := p.texts
	p.texts += len(texts)
	if len(p.known.Scores) < p.texts {
		scores, err := p.verifier.Judge(ctx, texts)
		if err != nil {
			return nil, err
		}
		p.known.Scores = append(p.known.Scores, scores...)
		if err := p.grew(ctx, len(scores)); err != nil {
			return nil, err
		}
	}
	return p.known.Scores[begun:p.texts], nil
}
