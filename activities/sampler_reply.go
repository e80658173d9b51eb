package activities

import (
	"context"

	"tempera/datagen/example"
	"tempera/datagen/sample"
	"tempera/datagen/task"
	"tempera/serving/generate"
	"tempera/training/tokenizer"
)

// repliesTo is what the world of a row's task says to what was written; nil: it is silent.
func repliesTo(row *example.Example) func(written string) string {
	if row.Problem == nil {
		return nil
	}
	kind, err := task.Find(row.Problem.Task)
	if err != nil || kind.Reply == nil {
		return nil
	}
	return func(written string) string { return kind.Reply(row.Problem, written) }
}

// turn is a text that goes on behind the world's reply.
type turn struct {
	of     int // number of the prompt
	at     int // of the completion
	opened completion
	heard  string
	ids    []int32 // before the rest: what opened it, and what was heard
}

// converse writes the completions of prompts whose world replies to the first token: that token is written, the world says its word, and the text goes on.
func (s *sampler) converse(ctx context.Context, prompts []prompted, out []rolled, which []int) error {
	openings := make([]generate.Request, len(which))
	for k, i := range which {
		openings[k] = s.request(prompts[i])
		openings[k].MaxTokens = 1
	}
	first, err := s.writer.Generate(ctx, openings)
	if err != nil {
		return err
	}
	var turns []turn
	var requests []generate.Request
	for k, i := range which {
		r, reply := s.request(prompts[i]), repliesTo(prompts[i].row)
		for n, text := range first[k].Texts {
			c := s.completion(text, r.MaxTokens)
			out[i].completions = append(out[i].completions, c)
			heard := reply(c.text)
			ids := append([]int32{}, text.Tokens...)
			ids = append(ids, s.encoder.tokenizer.EncodePiece(tokenizer.Piece{Text: heard, Joins: true, Added: tokenizer.VisibleAdded})...)
			if heard == "" || len(text.Tokens) == 0 || len(ids) >= r.MaxTokens {
				continue
			}
			next := r
			next.Prompt = append(r.Prompt[:len(r.Prompt):len(r.Prompt)], generate.Part{Tokens: ids})
			next.Samples, next.MaxTokens, next.Seed = 1, r.MaxTokens-len(ids), sample.Random(s.params.Seed, prompts[i].row.ID, 1+uint64(n)).Uint64()
			requests = append(requests, next)
			turns = append(turns, turn{i, n, c, heard, ids})
		}
	}
	rest, err := s.writer.Generate(ctx, requests)
	if err != nil {
		return err
	}
	for k, t := range turns {
		c := s.completion(rest[k].Texts[0], t.opened.budget)
		c.text, c.tokens, c.logProb = t.opened.text+t.heard+c.text, c.tokens+len(t.ids), c.logProb+t.opened.logProb
		if s.recording {
			c.drawn = joined(t.opened.drawn, t.ids, c.drawn)
		}
		out[t.of].completions[t.at] = c
	}
	return nil
}
