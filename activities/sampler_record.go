package activities

import (
	"slices"

	"tempera/datagen/example"
	"tempera/serving/generate"
)

// drawnOf are the tokens of a text with the one that ended it, and how likely they were.
func drawnOf(text generate.Text) *example.Drawn {
	d := &example.Drawn{Tokens: slices.Clone(text.Tokens), LogProbs: slices.Clone(text.SampledLogProbs), Ended: text.End != generate.EndLength}
	if len(text.LogProbs) > len(text.Tokens) {
		d.Tokens = append(d.Tokens, text.EndToken)
	}
	return d
}

// record completes what was drawn for a prompt.
func (s *sampler) record(p prompted, completions []completion) {
	for _, c := range completions {
		if c.drawn != nil {
			c.drawn.Group, c.drawn.Prompt = p.row.ID, p.tokens
		}
	}
}

// joined is what was drawn before and after an environment put tokens in: said begins ids, which the environment's end.
func joined(said *example.Drawn, ids []int32, rest *example.Drawn) *example.Drawn {
	n, put := len(said.Tokens), len(ids)-len(said.Tokens)
	rest.Given = slices.Concat(make([]bool, n), slices.Repeat([]bool{true}, put), make([]bool, len(rest.Tokens)))
	rest.Tokens = slices.Concat(ids, rest.Tokens)
	rest.LogProbs = slices.Concat(said.LogProbs, make([]float32, put), rest.LogProbs)
	return rest
}
