package objective

import (
	"errors"
	"fmt"
	"math/bits"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
)

// policyGraphs are graphs of packed episodes for several numbers of tokens, built when they are first needed. They share one arena. Numbers are
// rounded up by an eighth at most, so that there are few graphs and little padding.
type policyGraphs struct {
	policy *Policy
	arena  *graph.Arena
	train  map[trainingKey]*graph.Graph
	score  map[scoringKey]*graph.Graph
}

// scoring is what frozen models are asked about tokens.
type scoring struct{ reference, values, policy bool }

type trainingKey struct{ tokens, pictures int }

type scoringKey struct {
	trainingKey
	scoring
}

// Names of the graphs' outputs.
const (
	outReference = "reference"
	outValues    = "values"
	outPolicy    = "policy"
)

func newPolicyGraphs(p *Policy) policyGraphs {
	return policyGraphs{policy: p, arena: graph.NewArena(p.Model.Backend()), train: map[trainingKey]*graph.Graph{}, score: map[scoringKey]*graph.Graph{}}
}

// leastTokens is the size of the smallest graph.
const leastTokens = 64

// roundTokens is the size of the graph that n tokens pass.
func roundTokens(n int) int {
	n = max(n, leastTokens)
	step := 1 << (bits.Len(uint(n-1)) - 4)
	return (n + step - 1) / step * step
}

// spanTokens is the length of the texts that padding is cut into: attention within one costs the square of its length.
const spanTokens = 64

// endsOf is the length of the array of ends in a graph of a number of tokens.
func endsOf(tokens int) int { return 1 + min(tokens, mostEpisodes) + tokens/spanTokens + 1 }

// room is that of a graph for tokens and pictures.
func (k trainingKey) room() inlineRoom { return inlineRoom{k.tokens, endsOf(k.tokens), k.pictures} }

// training is the graph with a reverse pass.
func (s policyGraphs) training(key trainingKey) (*graph.Graph, error) {
	if g := s.train[key]; g != nil {
		return g, nil
	}
	p := s.policy
	g, err := graph.Build(p.Model.Backend(), graph.Options{Train: true, Checkpoint: p.options.Checkpoint, Light: lowRank(p.Model), Arena: s.arena}, func(g *graph.Graph) *graph.Node {
		in := inlineInput(g, p.Model, key.room())
		d := in.decode(g, p.Model)
		p.load.declare(g, d)
		said := []*graph.Node{p.logProbs(g, p.Model, d.States, in)}
		switch {
		case p.Critic == p.Model:
			said = append(said, p.Critic.Scores(g, d.States))
		case p.Critic != nil:
			said = append(said, p.Critic.Scores(g, in.decode(g, p.Critic).States))
		}
		loss := op.HostLoss(g, "policy", p.loss, said...)
		g.Output(training.LossKey, loss)
		return loss
	})
	if err != nil {
		return nil, fmt.Errorf("graph of %d tokens: %w", key.tokens, err)
	}
	s.train[key] = g
	return g, nil
}

func (p *Policy) logProbs(g *graph.Graph, m *model.Model, states *graph.Node, in inlineTexts) *graph.Node {
	return m.TokenLogProbs(g, states, in.targets, float32(p.options.Temperature))
}

// scoring is the graph without a reverse pass.
func (s policyGraphs) scoring(size trainingKey, want scoring) (*graph.Graph, error) {
	key := scoringKey{size, want}
	if g := s.score[key]; g != nil {
		return g, nil
	}
	p := s.policy
	g, err := graph.Build(p.Model.Backend(), graph.Options{Arena: s.arena}, func(g *graph.Graph) *graph.Node {
		in := inlineInput(g, p.Model, key.room())
		states := func(m *model.Model) *graph.Node { return in.decode(g, m).States }
		if want.reference {
			g.Output(outReference, p.logProbs(g, p.Reference, states(p.Reference), in))
		}
		if want.policy {
			g.Output(outPolicy, p.logProbs(g, p.Model, states(p.Model), in))
		}
		if want.values {
			g.Output(outValues, p.Critic.Scores(g, states(p.Critic)))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scoring graph of %d tokens: %w", key.tokens, err)
	}
	s.score[key] = g
	return g, nil
}

func (s policyGraphs) close() error {
	var errs []error
	for _, g := range s.train {
		errs = append(errs, g.Close())
	}
	for _, g := range s.score {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}

// microBatch is episodes as a graph takes them. rows says for each learned token which row of the graph speaks of it, places where it stands in the
// arrays of the iteration.
type microBatch struct {
	part
	it     *iteration
	size   trainingKey
	ids    struct{ tokens, targets, positions, ends, slots []int32 }
	pixels []float32
	rows   []int
	places []int
	sums   stepSums
}

// lay puts episodes one after the other. Padding is texts of its own.
func (p *Policy) lay(it *iteration, part part) *microBatch {
	used := 0
	for _, e := range part.episodes {
		used += it.episodes[e].rows()
	}
	n := roundTokens(used)
	m := &microBatch{part: part, it: it}
	m.ids.tokens, m.ids.targets, m.ids.positions, m.ids.slots = make([]int32, n), make([]int32, n), make([]int32, n), make([]int32, n)
	pictures := newGallery(p.Model.Config)
	m.ids.ends = append(make([]int32, 0, endsOf(n)), 0)
	at := 0
	for _, number := range part.episodes {
		e := it.episodes[number]
		prompt := e.prompt.Tokens
		place, _ := it.spans.Of(number)
		first := len(prompt) - 1 // the row that speaks of the first sampled token
		for t := range e.rows() {
			row := at + t
			m.ids.positions[row], m.ids.targets[row] = int32(t), device.IgnoreIndex
			if t <= first {
				m.ids.tokens[row] = prompt[t]
			} else {
				m.ids.tokens[row] = e.sample.Tokens[t-first-1]
			}
			if k := t - first; k >= 0 && !e.sample.given(k) {
				m.ids.targets[row] = e.sample.Tokens[k]
				m.rows, m.places = append(m.rows, row), append(m.places, place)
				place++
			}
		}
		pictures.hang(m.ids.tokens[at:at+e.rows()], m.ids.slots[at:at+e.rows()], e.prompt.Pictures)
		at += e.rows()
		m.ids.ends = append(m.ids.ends, int32(at))
	}
	m.size = trainingKey{n, roundPictures(len(pictures.places))}
	m.pixels = make([]float32, m.size.pictures*p.Model.Config.Vision.Pixels())
	copy(m.pixels, pictures.pixels)
	for k := at; k < n; k++ {
		m.ids.slots[k] = -1
		m.ids.tokens[k], m.ids.targets[k], m.ids.positions[k] = p.Model.Config.Text.Special.Pad, device.IgnoreIndex, int32((k-at)%spanTokens)%int32(p.Model.Config.Text.Context)
	}
	for at < n {
		at = min(at+spanTokens, n)
		m.ids.ends = append(m.ids.ends, int32(at))
	}
	for len(m.ids.ends) < cap(m.ids.ends) {
		m.ids.ends = append(m.ids.ends, int32(n))
	}
	return m
}

func (m *microBatch) feed(g *graph.Graph) error {
	err := errors.Join(
		g.Feed(Tokens, m.ids.tokens), g.Feed(Targets, m.ids.targets), g.Feed(Positions, m.ids.positions), g.Feed(Ends, m.ids.ends),
	)
	if m.size.pictures == 0 {
		return err
	}
	return errors.Join(err, g.Feed(slots, m.ids.slots), g.Feed(Images, m.pixels))
}

// run adds the gradient of a micro-batch.
func (p *Policy) run(m *microBatch) error {
	g, err := p.graphs.training(m.size)
	if err != nil {
		return err
	}
	p.micro = m
	if err := errors.Join(m.feed(g), g.Run()); err != nil {
		return err
	}
	return p.load.count(g)
}

// score asks frozen models about the tokens of a part of the iteration.
func (p *Policy) score(it *iteration, part part, want scoring) error {
	m := p.lay(it, part)
	g, err := p.graphs.scoring(m.size, want)
	if err != nil {
		return err
	}
	if err := errors.Join(m.feed(g), g.Run()); err != nil {
		return err
	}
	for _, x := range []struct {
		name   string
		to     []float64
		wanted bool
		stride int // numbers of a row, of which the first counts
	}{{outReference, it.reference, want.reference, 2}, {outPolicy, it.old, want.policy, 2}, {outValues, it.values, want.values, 1}} {
		if !x.wanted {
			continue
		}
		v, err := g.Read(x.name)
		if err != nil {
			return err
		}
		for i, row := range m.rows {
			x.to[m.places[i]] = float64(v[row*x.stride])
		}
	}
	return nil
}
