package generate

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/model"
)

// The most that a request may ask for.
const (
	maxBeams   = 64
	maxSamples = 1 << 16
	maxTop     = 1 << 10
)

// check collects the faults of one request.
type check struct {
	g      *Generator
	r      *Request
	length int // of the prompt
	faults []error
}

func (c *check) add(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// validate returns all faults of a request at once.
func (g *Generator) validate(r *Request) error {
	c := &check{g: g, r: r}
	c.prompt()
	c.lengths()
	c.tokens()
	c.search()
	if len(c.faults) == 0 {
		c.pages()
	}
	return errors.Join(c.faults...)
}

func (c *check) prompt() {
	config := c.g.config
	t := config.Text
	if n := c.g.imageTokens; n > 0 && len(c.r.Image) != n*config.Vision.Width {
		c.add("the image has %d values: give its %d states of width %d, %d values", len(c.r.Image), n, config.Vision.Width, n*config.Vision.Width)
	} else if n == 0 && c.r.Image != nil {
		c.add("a decoder of a %s model attends to no image: leave it out", config.Kind)
	}
	for i, p := range c.r.Prompt {
		if (len(p.Tokens) > 0) == (len(p.Embeddings) > 0) {
			c.add("part %d of the prompt has %d tokens and %d values of embeddings: give one of them", i, len(p.Tokens), len(p.Embeddings))
		}
		if len(p.Embeddings)%t.Width != 0 {
			c.add("part %d of the prompt has %d values, not rows of width %d", i, len(p.Embeddings), t.Width)
		}
		if len(p.Embeddings) > 0 && config.Kind != model.VLM {
			c.add("part %d of the prompt has embeddings: a %s model takes tokens only", i, config.Kind)
		}
		for k, v := range p.Embeddings {
			if v != v || math.IsInf(float64(v), 0) {
				c.add("value %d of the embeddings in part %d of the prompt is %v", k, i, v)
				break
			}
		}
		c.ids(fmt.Sprintf("part %d of the prompt", i), p.Tokens)
		c.length += len(p.Tokens) + len(p.Embeddings)/t.Width
	}
	c.length = max(1, c.length)
}

func (c *check) ids(what string, ids []int32) {
	for i, id := range ids {
		if v := c.g.config.Text.Vocab; id < 0 || int(id) >= v {
			c.add("token %d of %s is %d: ids run from 0 to %d", i, what, id, v-1)
		}
	}
}

func (c *check) lengths() {
	r, context := c.r, c.g.config.Text.Context
	switch {
	case c.length >= context:
		c.add("the prompt has %d tokens: the context of %d leaves no room, shorten it", c.length, context)
	case r.MaxTokens > context-c.length:
		c.add("max tokens is %d after a prompt of %d: the context of %d has room for %d", r.MaxTokens, c.length, context, context-c.length)
	}
	if r.MaxTokens < 0 || r.MinTokens < 0 || r.MaxTokens > 0 && r.MinTokens > r.MaxTokens {
		c.add("min tokens is %d and max tokens %d: give positive numbers, the second no lower, or 0", r.MinTokens, r.MaxTokens)
	}
	if r.Samples < 0 || r.Samples > maxSamples {
		c.add("samples is %d: give a number from 1 to %d, or 0 for 1", r.Samples, maxSamples)
	}
	if r.Top < 0 || r.Top > maxTop {
		c.add("top is %d: give a number from 0 to %d", r.Top, maxTop)
	}
}

func (c *check) tokens() {
	r, t := c.r, c.g.config.Text
	c.ids("the stop tokens", r.StopTokens)
	c.ids("the suppressed tokens", r.Suppress)
	seen := map[int32]bool{}
	for _, id := range append([]int32{t.Special.EOS}, r.StopTokens...) {
		seen[id] = r.MinTokens > 0
	}
	for _, id := range r.Suppress {
		seen[id] = true
	}
	hidden := 0
	for _, s := range seen {
		if s {
			hidden++
		}
	}
	if hidden >= t.Vocab {
		c.add("all %d tokens are suppressed: leave some", t.Vocab)
	}
	if b := r.Search.Beams; b < 0 || b > maxBeams || b > 1 && 2*b > t.Vocab-hidden {
		c.add("%d beams: give at most %d, and no more than half of the %d tokens that are left", b, maxBeams, t.Vocab-hidden)
	}
	if len(r.Stop) > 0 && c.g.options.Decode == nil {
		c.add("stop strings need the text: give the generator a Decode function")
	}
	for i, s := range r.Stop {
		if s == "" {
			c.add("stop string %d is empty: remove it", i)
		}
	}
	if r.KeepStop && len(r.Stop) == 0 {
		c.add("there is no stop string to keep: remove keep stop")
	}
}

func (c *check) search() {
	s := c.r.Search
	for _, v := range []struct {
		name    string
		is      float64
		lo, hi  float64
		example string
	}{
		{"temperature", s.Temperature, 0, 1e4, "1"},
		{"top-p", s.TopP, 0, 1, "0.9"},
		{"min-p", s.MinP, 0, 1, "0.05"},
		{"top-k", float64(s.TopK), 0, math.MaxInt32, "50"},
		{"repetition penalty", s.RepetitionPenalty, 0, 1e4, "1.2"},
		{"presence penalty", s.PresencePenalty, -1e4, 1e4, "0.5"},
		{"frequency penalty", s.FrequencyPenalty, -1e4, 1e4, "0.5"},
		{"length penalty", s.LengthPenalty, -1e3, 1e3, "1"},
	} {
		if !(v.is >= v.lo && v.is <= v.hi) {
			c.add("%s is %v: give a number from %v to %v, such as %s", v.name, v.is, v.lo, v.hi, v.example)
		}
	}
	if s.Temperature == 0 && (s.TopK != 0 || s.TopP != 0 || s.MinP != 0) {
		c.add("top-k, top-p and min-p are for sampling: set a temperature, such as 1")
	}
	if s.Beams < 2 {
		if s.Temperature == 0 && c.r.Samples > 1 {
			c.add("%d samples of a search that draws nothing are all the same: set a temperature, or beams", c.r.Samples)
		}
		if s.LengthPenalty != 0 {
			c.add("a length penalty is for beams: set beams, or remove it")
		}
		return
	}
	if s.samples() || s.penalises() {
		c.add("a search with beams neither samples nor penalises: set either beams, or temperature and penalties")
	}
	if len(c.r.Stop) > 0 || c.r.OnToken != nil || c.r.Top > 0 {
		c.add("a search with beams knows its text at the end only: remove stop strings, top and on token")
	}
	if c.r.Samples > s.Beams {
		c.add("%d samples of %d beams: ask for at most as many", c.r.Samples, s.Beams)
	}
}

// pages refuses a request that could not run even alone.
func (c *check) pages() {
	width := max(1, c.r.Search.Beams)
	if width > c.g.options.Rows {
		c.add("%d beams: the generator runs %d texts together, give it more rows", width, c.g.options.Rows)
	}
	p := c.g.pool
	most := p.For(c.g.imageTokens) + p.For(c.length) + width*(p.For(c.length+c.g.budget(c.r, c.length))-c.length/p.Size())
	if most > p.Total() {
		c.add("the request may need %d pages of %d tokens, the memory holds %d: lower max tokens or beams, or raise the memory", most, p.Size(), p.Total())
	}
}

// budget is the number of tokens that a text may get.
func (g *Generator) budget(r *Request, prompt int) int {
	left := g.config.Text.Context - prompt
	if r.MaxTokens > 0 {
		return min(left, r.MaxTokens)
	}
	return left
}
