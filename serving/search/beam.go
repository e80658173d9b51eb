package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Beams size a beam search over steps.
type Beams struct {
	Keep   int // texts that go on after each step
	Branch int // continuations of each
	Steps  int // most steps of a text; 0: as many as it takes
}

// branch is a text with its score.
type branch struct {
	Text
	score float64
}

// Beam keeps the texts that the verifier finds best after each step, and chooses the best that has ended. Keep x Branch steps are written at a time, so
// that it takes about as many tokens as that many samples.
func (s *Searcher) Beam(ctx context.Context, b Beams) ([]Outcome, error) {
	if b.Keep < 1 || b.Branch < 1 {
		return nil, fmt.Errorf("a beam of %d texts with %d branches: give positive numbers", b.Keep, b.Branch)
	}
	if s.Verifier == nil {
		return nil, errVerifier
	}
	out, live, ended := make([]Outcome, s.Problems), make([][]branch, s.Problems), make([][]branch, s.Problems)
	for p := range live {
		live[p] = []branch{{Text: Text{Problem: p}}}
	}
	for n := 0; b.Steps == 0 || n < b.Steps; n++ {
		grown, err := s.grow(ctx, live, b, n)
		if err != nil {
			return nil, err
		}
		if len(grown) == 0 {
			break
		}
		for p := range live {
			live[p] = nil
		}
		for _, x := range grown {
			p := x.Problem
			out[p].Spent += x.Steps[len(x.Steps)-1].Cost
			if x.Over() {
				ended[p] = append(ended[p], x)
			} else {
				live[p] = append(live[p], x)
			}
		}
		for p := range live {
			live[p] = most(live[p], b.Keep)
			ended[p] = most(ended[p], b.Keep)
			// Scores of steps are probabilities: under product and least no text gains by going on, so that as many ended ones end the search.
			if len(ended[p]) >= b.Keep {
				live[p] = nil
			}
		}
	}
	for p := range out {
		found := ended[p]
		if len(found) == 0 {
			found = live[p]
		}
		out[p].Text, out[p].Score = found[0].Text, found[0].score
	}
	return out, nil
}

// grow writes the next step of every live text, and judges them.
func (s *Searcher) grow(ctx context.Context, live [][]branch, b Beams, n int) ([]branch, error) {
	var from []Beginning
	for p, list := range live {
		for i, x := range list {
			// As many steps as ever where fewer texts than Keep go on, as at the first step.
			from = append(from, Beginning{Text: x.Text, Samples: max(1, b.Keep*b.Branch/len(list)), Seed: s.seed(p, 1+n*b.Keep+i)})
		}
	}
	if len(from) == 0 {
		return nil, nil
	}
	written, err := s.Writer.Write(ctx, from)
	if err != nil {
		return nil, err
	}
	var texts []Text
	for i, list := range written {
		for _, steps := range list {
			texts = append(texts, from[i].and(steps[0]))
		}
	}
	scores, err := s.judge(ctx, texts)
	if err != nil {
		return nil, err
	}
	grown := make([]branch, len(texts))
	for i, t := range texts {
		grown[i] = branch{t, scores[i]}
	}
	return grown, nil
}

// most are the n best texts, each different one once, the best first.
func most(list []branch, n int) []branch {
	slices.SortStableFunc(list, func(x, y branch) int { return cmp.Compare(y.score, x.score) })
	var kept []branch
	for _, x := range list {
		same := func(k branch) bool { return slices.Equal(k.Tokens(), x.Tokens()) && k.Ended() == x.Ended() }
		if len(kept) < n && !slices.ContainsFunc(kept, same) {
			kept = append(kept, x)
		}
	}
	return kept
}
