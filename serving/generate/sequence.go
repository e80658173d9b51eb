package generate

import (
	"maps"
	"math"
	"slices"
	"sync"

	"tempera/serving/network"
	"tempera/training/kernel"
)

// limits are what the texts of a request may be. They are read-only.
type limits struct {
	budget, least int      // tokens to generate: at most, and before it may end
	ends          tokenSet // EOS and stop tokens
	suppress      tokenSet // never
	early         tokenSet // those and the ends, while fewer than least are written
	eos           int32
}

type tokenSet map[int32]bool

func (s tokenSet) add(ids ...int32) {
	for _, id := range ids {
		s[id] = true
	}
}

// list is the tokens of a set, in order.
func (s tokenSet) list() []int32 { return slices.Sorted(maps.Keys(s)) }

func (g *Generator) newLimits(r *Request, prompt int) *limits {
	l := &limits{budget: g.budget(r, prompt), least: r.MinTokens, eos: g.config.Text.Special.EOS, ends: tokenSet{}, suppress: tokenSet{}, early: tokenSet{}}
	l.ends.add(l.eos)
	l.ends.add(r.StopTokens...)
	l.suppress.add(r.Suppress...)
	l.early.add(l.eos)
	l.early.add(r.StopTokens...)
	l.early.add(r.Suppress...)
	return l
}

// hidden are the tokens that may not come after n.
func (l *limits) hidden(n int) tokenSet {
	if n < l.least {
		return l.early
	}
	return l.suppress
}

// end is why a token ends a text.
func (l *limits) end(token int32) End {
	if token == l.eos {
		return EndEOS
	}
	return EndStop
}

// sequence is one text, greedy or sampled.
type sequence struct {
	*limits
	scratch *sync.Pool // of *scratch
	engine  *kernel.Engine
	request *Request
	sample  int
	seed    uint64
	steps   int
	counts  counts
	writer  *writer // nil: there is no text
	out     Text
	written []int32 // all tokens so far; out.Tokens may be cut
	news    []Event
}

// scratch is what a choice writes to.
type scratch struct {
	scores []float32 // by token
	shares []share
}

// newText is a text of a request, by sample.
func (g *Generator) newText(r *Request, l *limits, sample int, prompt []int32) text {
	if r.Search.Beams > 1 {
		return newBeams(l, r, g.options.Decode)
	}
	s := &sequence{limits: l, scratch: &g.scratch, engine: g.engine, request: r, sample: sample, seed: sampleSeed(r.Seed, sample)}
	if r.Search.penalises() {
		s.counts = newCounts(prompt)
	}
	if g.options.Decode != nil {
		s.writer = &writer{decode: g.options.Decode}
	}
	return s
}

// sampleSeed is the seed of a sample: the request's for the first.
func sampleSeed(seed uint64, sample int) uint64 {
	if sample == 0 {
		return seed
	}
	return mix(seed ^ mix(uint64(sample)))
}

func (s *sequence) width() int         { return 1 }
func (s *sequence) tokens(int) []int32 { return s.written }

func (s *sequence) advance(v view) (from []int, done bool, err error) {
	c, ok := s.choose(v)
	if !ok {
		return nil, true, errNoToken
	}
	if n := s.request.Top; n > 0 {
		s.out.Top = append(s.out.Top, top(v.logProbs, nil, n))
	}
	return nil, s.accept(c), nil
}

// ask is how a device is to choose the next token; nil: the choice needs all logits.
func (s *sequence) ask() *network.Ask {
	search := s.request.Search
	if search.penalises() || s.request.Top > 0 {
		return nil
	}
	return &network.Ask{
		Temperature: search.Temperature, TopK: search.TopK, TopP: search.TopP, MinP: search.MinP,
		Draw: draws(s.seed, s.steps), Hidden: s.hidden(s.steps).list(),
	}
}

// take takes a token that a device has chosen.
func (s *sequence) take(p network.Pick) (done bool, err error) {
	if p.Token < 0 {
		return true, errNoToken
	}
	return s.accept(choice{Candidate{p.Token, p.LogProb}, p.Sampled}), nil
}

// accept writes a token and tells whether it ends the text.
func (s *sequence) accept(c choice) (done bool) {
	s.steps++
	s.out.LogProbs = append(s.out.LogProbs, c.LogProb)
	if s.request.Search.samples() {
		s.out.SampledLogProbs = append(s.out.SampledLogProbs, c.sampled)
	}
	event := Event{Sample: s.sample, Token: c.Token, LogProb: c.LogProb}
	if s.ends[c.Token] {
		s.out.End, s.out.EndToken = s.end(c.Token), c.Token
	} else {
		s.written = append(s.written, c.Token)
		s.counts.add(c.Token)
		event.Text = s.write()
		if s.out.End == "" && s.steps == s.budget {
			s.out.End = EndLength
		}
	}
	if s.out.End != "" {
		event.Text += s.close()
		event.End = s.out.End
	}
	if s.request.OnToken != nil {
		s.news = append(s.news, event)
	}
	return s.out.End != ""
}

// write takes the last token into the text and returns what became certain of it.
func (s *sequence) write() string {
	if s.writer == nil {
		return ""
	}
	stops := s.request.Stop
	if s.steps < s.least {
		stops = nil
	}
	certain, stopped := s.writer.add(s.written, stops)
	if stopped {
		s.out.End = EndStop
		s.out.Tokens = s.written
		if s.request.KeepStop {
			return certain + s.writer.stop
		}
		s.cut(s.writer.kept(s.written))
	}
	return certain
}

// cut keeps the first n tokens.
func (s *sequence) cut(n int) {
	s.out.Tokens, s.out.LogProbs = s.written[:n], s.out.LogProbs[:n]
	if s.out.SampledLogProbs != nil {
		s.out.SampledLogProbs = s.out.SampledLogProbs[:n]
	}
	if s.out.Top != nil {
		s.out.Top = s.out.Top[:n]
	}
}

// close completes the result and returns the rest of the text.
func (s *sequence) close() string {
	stopped := s.writer != nil && s.writer.stop != ""
	if !stopped {
		s.out.Tokens = s.written
	}
	for _, lp := range s.out.LogProbs {
		s.out.LogProb += float64(lp)
	}
	if s.writer == nil {
		return ""
	}
	rest := ""
	if !stopped {
		rest = s.writer.rest(s.written)
	}
	s.out.Text = s.writer.text.String()
	if s.request.KeepStop {
		s.out.Text += s.writer.stop
	}
	return rest
}

func (s *sequence) events() []Event {
	news := s.news
	s.news = nil
	return news
}

func (s *sequence) results() []Text { return []Text{s.out} }

// choice is a token with its log-probability under the model and under the distribution that it was drawn from.
type choice struct {
	Candidate
	sampled float32
}

// choose picks the next token. ok is false if there is none.
func (s *sequence) choose(v view) (c choice, ok bool) {
	hidden, search := s.hidden(s.steps), s.request.Search
	scores := v.logProbs
	var shares *[]share
	if search.samples() || search.penalises() {
		x := s.scratch.Get().(*scratch)
		defer s.scratch.Put(x)
		shares = &x.shares
		if search.penalises() {
			scores = v.logits
		}
		x.scores = append(x.scores[:0], scores...)
		scores = x.scores
		s.counts.penalise(scores, search)
	}
	if search.samples() {
		s.spread(scores, hidden)
		var p float64
		c.Token, p, ok = draw(nucleus(scores, search, shares), uniform(s.seed, s.steps))
		c.sampled = float32(math.Log(p))
	} else {
		c.Token, ok = likeliest(scores, hidden)
	}
	if ok {
		c.LogProb = v.logProbs[c.Token]
	}
	return c, ok
}

// spread turns scores into probabilities at the request's temperature, 0 for the hidden tokens.
func (s *sequence) spread(scores []float32, hidden tokenSet) {
	for id := range hidden {
		scores[id] = float32(math.Inf(-1))
	}
	s.engine.Softmax(kernel.SoftmaxArgs{Rows: 1, Cols: len(scores), X: scores, Y: scores, Scale: float32(1 / s.request.Search.Temperature)})
	for id := range hidden {
		scores[id] = 0
	}
}
