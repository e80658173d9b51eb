package model

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

func (s *Scorer) textInput(g *graph.Graph) Texts {
	t := Texts{
		Tokens:  g.Input(inTokens, device.Int32, s.batch, s.model.Config.Text.Context),
		Lengths: g.Input(inLengths, device.Int32, s.batch),
	}
	if s.model.Config.Text.Pool == Last {
		t.Last = g.Input(inLast, device.Int32, s.batch)
	}
	return t
}

// checkTexts refuses what kernels would not check: ids and lengths out of range.
func (s *Scorer) checkTexts(tokens, lengths []int32) error {
	t := s.model.Config.Text
	if len(tokens) != len(lengths)*t.Context {
		return fmt.Errorf("scorer: %d tokens are not %d texts of %d", len(tokens), len(lengths), t.Context)
	}
	for i, id := range tokens {
		if id < 0 || int(id) >= t.Vocab {
			return fmt.Errorf("scorer: token %d is %d, outside the vocabulary of %d", i, id, t.Vocab)
		}
	}
	for i, l := range lengths {
		if l < 1 || int(l) > t.Context {
			return fmt.Errorf("scorer: text %d has the length %d, want 1 to %d", i, l, t.Context)
		}
	}
	return nil
}

// feedTexts feeds the texts of the given rows, at most a batch of them.
func (s *Scorer) feedTexts(g *graph.Graph, tokens, lengths []int32, rows []int) error {
	width := s.model.Config.Text.Context
	t, l, ends := make([]int32, s.batch*width), make([]int32, s.batch), make([]int32, s.batch)
	for i := range s.batch {
		l[i] = 1
		if i < len(rows) {
			copy(t[i*width:(i+1)*width], tokens[rows[i]*width:])
			l[i] = lengths[rows[i]]
		}
		ends[i] = int32(i*width) + l[i] - 1
	}
	err := errors.Join(g.Feed(inTokens, t), g.Feed(inLengths, l))
	if s.model.Config.Text.Pool == Last {
		err = errors.Join(err, g.Feed(inLast, ends))
	}
	return err
}

// encoded copies texts with ENC as the first token.
func (s *Scorer) encoded(tokens []int32) []int32 {
	out := slices.Clone(tokens)
	for i := 0; i < len(out); i += s.model.Config.Text.Context {
		out[i] = s.model.Config.Text.Special.ENC
	}
	return out
}

// counted is from, from+1, ..., to-1.
func counted(from, to int) []int {
	out := make([]int, to-from)
	for i := range out {
		out[i] = from + i
	}
	return out
}
