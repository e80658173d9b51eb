package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/serving/generate"
)

// textSample says what a language model writes to be looked at.
type textSample struct {
	Count       int      `json:"count" doc:"Texts; 0 writes none." min:"0" max:"200"`
	Prompts     []string `json:"prompts,omitempty" doc:"How the texts begin, in turn; absent: they begin as they like."`
	Tokens      int      `json:"tokens" doc:"Most tokens of a text." min:"1"`
	Temperature float64  `json:"temperature" doc:"Of the sampling; 0 takes the likeliest token always." min:"0"`
	TopP        float64  `json:"top_p" doc:"Nucleus that is sampled from; 0: all tokens." min:"0" max:"1"`
}

// writtenText is a line of samples.jsonl.
type writtenText struct {
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	Ended  bool   `json:"ended"` // the model ended it; otherwise it was cut off
}

// writeSamples lets a language model write. A text depends on the seed, its
// number and its prompt only.
func writeSamples(ctx context.Context, from *deployed, p evaluateTextParams) (_ []writtenText, err error) {
	s := p.Samples
	if s.Count == 0 {
		return nil, nil
	}
	c := from.weights.Config
	writer, err := generate.New(from.dev.engine, c, from.weights.Get, generate.Options{Rows: s.Count, Device: from.dev.paged()})
	if err != nil {
		return nil, Invalid(fmt.Errorf("write samples: %w", err))
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	special := c.Text.Special
	search := generate.Search{}
	if s.Temperature > 0 {
		search = generate.Search{Temperature: s.Temperature, TopP: s.TopP}
	}
	out := make([]writtenText, s.Count)
	requests := make([]generate.Request, s.Count)
	for i := range requests {
		prompt := []int32{special.BOS}
		if n := len(s.Prompts); n > 0 {
			out[i].Prompt = s.Prompts[i%n]
			prompt = append(prompt, from.tokenizer.EncodePlain(out[i].Prompt)...)
		}
		if room := c.Text.Context - 1; len(prompt) > room {
			return nil, Invalid(fmt.Errorf("prompt %q has %d tokens, the model's context is %d: shorten it", out[i].Prompt, len(prompt), c.Text.Context))
		}
		requests[i] = generate.Request{
			Prompt: generate.Tokens(prompt...), MaxTokens: min(s.Tokens, c.Text.Context-len(prompt)), Seed: p.Seed + uint64(i), Search: search,
			Suppress: []int32{special.Pad, special.BOS, special.ENC},
		}
	}
	results, err := writer.Generate(ctx, requests)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		t := r.Texts[0]
		out[i].Text, out[i].Ended = from.tokenizer.DecodePlain(t.Tokens), t.End == generate.EndEOS
	}
	return out, nil
}
