// Package search spends more tokens on a problem than one text takes, and chooses: the best of several by a verifier, a vote, a beam over steps, a tree of
// steps. Problems are searched together, so that their texts are written in batches, and every outcome says how many tokens were written for it: methods
// are compared at equal ones.
//
// A text is a list of steps, which a [Writer] writes and a [Verifier] judges. Start reading there; sample.go, beam.go and tree.go are the methods, and
// writer.go is the writer that a language model makes.
package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Step is a part of a text, to the end of a step or of the text.
type Step struct {
	Tokens  []int32
	LogProb float64 // of its tokens under the writer, the ending one of the text included
	Cost    int     // tokens that were written, the ending one of the text included
	Ended   bool    // the writer ended the text
	Cut     bool    // there is no room for more
}

// over tells whether nothing comes behind a step.
func (s Step) over() bool { return s.Ended || s.Cut }

// Text is what was written for a problem so far.
type Text struct {
	Problem int // its number
	Steps   []Step
}

// Tokens are those of all steps.
func (t Text) Tokens() []int32 {
	var ids []int32
	for _, s := range t.Steps {
		ids = append(ids, s.Tokens...)
	}
	return ids
}

// Over tells whether a text is at its end.
func (t Text) Over() bool { return len(t.Steps) > 0 && t.Steps[len(t.Steps)-1].over() }

// Ended tells whether the writer ended it.
func (t Text) Ended() bool { return len(t.Steps) > 0 && t.Steps[len(t.Steps)-1].Ended }

// LogProb is that of the whole text.
func (t Text) LogProb() float64 {
	sum := 0.0
	for _, s := range t.Steps {
		sum += s.LogProb
	}
	return sum
}

func (t Text) and(s Step) Text {
	return Text{t.Problem, append(slices.Clip(t.Steps), s)}
}

// Beginning asks for what comes behind a text.
type Beginning struct {
	Text
	Samples int    // continuations
	Seed    uint64 // equal seeds of equal texts give equal continuations
	Whole   bool   // to the end of the text, in steps; else one step
}

// Writer writes steps. It does so for many beginnings at a time.
type Writer interface {
	// Write returns the continuations of each beginning, Samples each; every one has at least one step.
	Write(ctx context.Context, from []Beginning) ([][][]Step, error)
}

// Verifier judges texts.
type Verifier interface {
	// Judge returns for each text, whole or not, how likely it is right: a probability for each step (a process reward model), or a single one for the
	// whole (an outcome reward model).
	Judge(ctx context.Context, texts []Text) ([][]float64, error)
}

// Reduction makes the score of a text of those of its steps.
type Reduction string

// The reductions.
const (
	Product Reduction = "product"
	Least   Reduction = "least"
	Final   Reduction = "final" // that of the last step
)

// Reductions lists them.
func Reductions() []string { return []string{string(Product), string(Least), string(Final)} }

func (r Reduction) of(scores []float64) float64 {
	switch {
	case len(scores) == 0:
		return 0
	case r == Least:
		return slices.Min(scores)
	case r == Final:
		return scores[len(scores)-1]
	}
	product := 1.0
	for _, s := range scores {
		product *= s
	}
	return product
}

// Searcher searches for a number of problems.
type Searcher struct {
	Problems int
	Writer   Writer
	Verifier Verifier  // nil: only methods that need none
	Reduce   Reduction // default product
	Seed     uint64
}

// Outcome is what a method chose for a problem.
type Outcome struct {
	Text  Text
	Score float64 // by which it was chosen
	Spent int     // tokens that were written for the problem
}

// errVerifier is what methods fail with that need one.
var errVerifier = errors.New("this method needs a verifier")

// judge scores texts.
func (s *Searcher) judge(ctx context.Context, texts []Text) ([]float64, error) {
	if s.Verifier == nil {
		return nil, errVerifier
	}
	if len(texts) == 0 {
		return nil, nil
	}
	scores, err := s.Verifier.Judge(ctx, texts)
	if err != nil {
		return nil, err
	}
	if len(scores) != len(texts) {
		return nil, fmt.Errorf("the verifier gave %d scores for %d texts", len(scores), len(texts))
	}
	out := make([]float64, len(texts))
	for i, x := range scores {
		if out[i] = s.Reduce.of(x); math.IsNaN(out[i]) {
			return nil, fmt.Errorf("the verifier gave no number to a text of problem %d", texts[i].Problem)
		}
	}
	return out, nil
}

// seed is that of the n-th draw of a problem.
func (s *Searcher) seed(problem, n int) uint64 {
	return mix(mix(s.Seed+uint64(problem)) + uint64(n))
}

// mix is the finaliser of splitmix64.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// cost is what steps took to write.
func cost(steps []Step) int {
	n := 0
	for _, s := range steps {
		n += s.Cost
	}
	return n
}

// best is the index of the largest score, of equal ones the first.
func best(scores []float64) int {
	at := 0
	for i, s := range scores {
		if s > scores[at] {
			at = i
		}
	}
	return at
}
