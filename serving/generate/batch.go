package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// search is a text in the making. Its rows are fed a token each; it takes the log-probabilities of the next.
type search interface {
	// input writes the rows' next tokens and returns the number of tokens that the caches then hold.
	input(tokens []int32) int
	// advance chooses. from, if not nil, names for each row the row whose cache it continues; done ends the text.
	advance(logProbs []float32) (from []int, done bool, err error)
	result() Result
}

// errNoToken is what a model with parameters that are not finite runs into.
var errNoToken = errors.New("no token has a likelihood: the model's logits are not numbers")

// Generate writes a text for each request. All faults of all requests are reported before any work. Requests of one number of beams run together.
func (d *Decoder) Generate(ctx context.Context, requests []Request) ([]Result, error) {
	var faults []error
	byWidth := map[int][]int{}
	for i, r := range requests {
		if err := d.validate(r); err != nil {
			faults = append(faults, fmt.Errorf("request %d: %w", i, err))
		}
		w := max(1, r.Search.Beams)
		byWidth[w] = append(byWidth[w], i)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	results := make([]Result, len(requests))
	var widths []int
	for w := range byWidth {
		widths = append(widths, w)
	}
	slices.Sort(widths)
	for _, w := range widths {
		b := &batch{d: d, requests: requests, pending: byWidth[w], results: results}
		b.caches = d.newCaches(min(max(1, d.rows/w), len(byWidth[w])), w)
		if err := b.run(ctx); err != nil {
			return nil, fmt.Errorf("generate: %w", err)
		}
	}
	return results, nil
}

// batch runs requests of one width through the slots of its caches. The active groups are always the first.
type batch struct {
	d        *Decoder
	caches   *caches
	requests []Request
	pending  []int
	active   []slot
	results  []Result
}

type slot struct {
	request int
	text    search
	length  int // tokens in the caches
}

func (b *batch) run(ctx context.Context) error {
	for {
		b.admit()
		if len(b.active) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c := b.caches
		for i := range b.active {
			s := &b.active[i]
			lo, hi := i*c.width, (i+1)*c.width
			s.length = s.text.input(c.tokens[lo:hi])
			for r := lo; r < hi; r++ {
				c.lengths[r] = int32(s.length)
			}
		}
		c.step(len(b.active))
		if err := b.advance(); err != nil {
			return err
		}
	}
}

// admit starts pending requests in the free slots.
func (b *batch) admit() {
	n := min(len(b.pending), b.caches.groups-len(b.active))
	first := len(b.active)
	for _, i := range b.pending[:n] {
		b.active = append(b.active, slot{request: i, text: b.d.newSearch(b.requests[i])})
	}
	b.pending = b.pending[n:]
	if b.d.memory > 0 {
		b.d.engine.Parallel(n, func(i int) {
			b.caches.see(first+i, b.requests[b.active[first+i].request].Image)
		})
	}
}

// advance lets every text choose, moves caches after it, and frees the slots of finished texts.
func (b *batch) advance() error {
	c, v := b.caches, b.d.config.Text.Vocab
	type outcome struct {
		from []int
		done bool
		err  error
	}
	out := make([]outcome, len(b.active))
	b.d.engine.Parallel(len(out), func(i int) {
		o := &out[i]
		o.from, o.done, o.err = b.active[i].text.advance(c.logits[i*c.width*v : (i+1)*c.width*v])
	})
	for i, o := range out {
		if !o.done {
			c.reorder(i, o.from, b.active[i].length)
		}
	}
	for i := len(out) - 1; i >= 0; i-- {
		if out[i].err != nil {
			return fmt.Errorf("request %d: %w", b.active[i].request, out[i].err)
		}
		if !out[i].done {
			continue
		}
		b.results[b.active[i].request] = b.active[i].text.result()
		last := len(b.active) - 1
		if i != last {
			c.moveGroup(i, last, b.active[last].length)
			b.active[i] = b.active[last]
		}
		b.active = b.active[:last]
	}
	return nil
}

func (d *Decoder) newSearch(r Request) search {
	t := d.config.Text
	prompt := r.Prompt
	if len(prompt) == 0 {
		prompt = []int32{t.Special.BOS}
	}
	budget := t.Context - len(prompt)
	if r.MaxTokens > 0 {
		budget = min(budget, r.MaxTokens)
	}
	s := &sequence{engine: d.engine, prompt: prompt, budget: budget, eos: t.Special.EOS, suppress: make([]bool, t.Vocab), request: r}
	for _, id := range r.Suppress {
		s.suppress[id] = true
	}
	if r.Search.Beams > 1 {
		return newBeams(s)
	}
	return s
}
