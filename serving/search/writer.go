package search

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/serving/generate"
)

// Cutting says where a step ends: behind a separator, or after a number of tokens.
type Cutting struct {
	Separator string // such as "," or "\n"; the generator needs to decode
	Tokens    int    // where there is no separator
}

// Model writes steps with a generator.
type Model struct {
	Generator *generate.Generator
	Prompts   [][]generate.Part // of the problems
	MaxTokens int               // most tokens of a text, the ending one included
	Search    generate.Search
	Suppress  []int32
	Stop      []int32 // tokens that end a text besides the model's end
	Cut       Cutting
	// Decode is what the generator decodes with; needed for a separator.
	Decode func(tokens []int32) string
}

// Write implements Writer. A whole text is written at once and cut into steps afterwards, which gives it other draws than step by step, of the same
// distribution.
func (m *Model) Write(ctx context.Context, from []Beginning) ([][][]Step, error) {
	if (m.Cut.Separator == "") == (m.Cut.Tokens == 0) || m.Cut.Separator != "" && m.Decode == nil {
		return nil, errors.New("steps: give a separator, with a Decode function, or a number of tokens")
	}
	requests := make([]generate.Request, len(from))
	for i, b := range from {
		if b.Problem < 0 || b.Problem >= len(m.Prompts) {
			return nil, fmt.Errorf("problem %d: there are %d prompts", b.Problem, len(m.Prompts))
		}
		requests[i] = m.request(b)
		if requests[i].MaxTokens < 1 {
			return nil, fmt.Errorf("problem %d: its text of %d tokens has no room for a step", b.Problem, cost(b.Steps))
		}
	}
	results, err := m.Generator.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	out := make([][][]Step, len(from))
	for i, r := range results {
		for _, t := range r.Texts {
			room := m.MaxTokens - cost(from[i].Steps)
			whole := Step{Tokens: t.Tokens, LogProb: t.LogProb, Cost: len(t.LogProbs), Ended: len(t.LogProbs) > len(t.Tokens)}
			whole.Cut = !whole.Ended && whole.Cost >= room
			steps := []Step{whole}
			if from[i].Whole {
				steps = m.cut(t, whole)
			}
			out[i] = append(out[i], steps)
		}
	}
	return out, nil
}

func (m *Model) request(b Beginning) generate.Request {
	prompt := slices.Clip(m.Prompts[b.Problem])
	if ids := b.Text.Tokens(); len(ids) > 0 {
		prompt = append(prompt, generate.Part{Tokens: ids})
	}
	r := generate.Request{
		Prompt: prompt, Samples: b.Samples, Seed: b.Seed, Search: m.Search, Suppress: m.Suppress, StopTokens: m.Stop,
		MaxTokens: m.MaxTokens - cost(b.Steps),
	}
	switch {
	case b.Whole:
	case m.Cut.Separator != "":
		r.Stop, r.KeepStop = []string{m.Cut.Separator}, true
	default:
		r.MaxTokens = min(r.MaxTokens, m.Cut.Tokens)
	}
	return r
}

// cut divides a whole text into steps; its end, which has no token of its own, is part of the last.
func (m *Model) cut(t generate.Text, whole Step) []Step {
	var steps []Step
	start := 0
	end := func(i int) {
		s := Step{Tokens: t.Tokens[start:i:i], Cost: i - start}
		for _, lp := range t.LogProbs[start:i] {
			s.LogProb += float64(lp)
		}
		steps, start = append(steps, s), i
	}
	for i := range t.Tokens {
		if m.Cut.Separator != "" && strings.Contains(m.Decode(t.Tokens[start:i+1]), m.Cut.Separator) || m.Cut.Separator == "" && i+1-start == m.Cut.Tokens {
			end(i + 1)
		}
	}
	if start < len(t.Tokens) || len(steps) == 0 {
		end(len(t.Tokens))
	}
	last := &steps[len(steps)-1]
	for _, lp := range t.LogProbs[len(t.Tokens):] { // of the token that ended the text
		last.LogProb += float64(lp)
		last.Cost++
	}
	last.Ended, last.Cut = whole.Ended, whole.Cut
	return steps
}
