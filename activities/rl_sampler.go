package activities

import (
	"context"
	"fmt"
	"math/rand/v2"

	"tempera/datagen/example"
	"tempera/datagen/task"
	"tempera/serving/generate"
	"tempera/training/model"
	"tempera/training/objective"
)

// rlSampler writes with the model that is being trained. Packed weights are made of the training's own buffers, and made anew at each call; on a GPU
// they stay there.
type rlSampler struct {
	ctx       context.Context // of the stage: an objective's step takes none
	generator *generate.Generator
	model     *model.Model
	eye       *eye               // nil: the model sees nothing
	rows      []*example.Example // by the index of a prompt
	encode    func(text string) []int32
	decode    func(tokens []int32) string
	search    generate.Search
	stops     []int32 // tokens that end a text besides EOS
	length    int
}

var _ objective.Weighed = (*rlSampler)(nil)

// Sample is part of objective.Sampler.
func (s *rlSampler) Sample(prompts []objective.Prompt, samples int) ([]objective.Group, error) {
	if err := s.generator.Follow(s.ctx, s.model); err != nil {
		return nil, err
	}
	groups := make([]objective.Group, len(prompts))
	var silent, talked []int // prompts
	for i, p := range prompts {
		groups[i] = objective.Group{Prompt: p, Samples: make([]objective.Sample, samples)}
		if s.world(p) == nil {
			silent = append(silent, i)
		} else {
			talked = append(talked, i)
		}
	}
	starts, err := s.starts(prompts)
	if err != nil {
		return nil, err
	}
	if err := s.write(groups, starts, silent); err != nil {
		return nil, err
	}
	return groups, s.converse(groups, starts, talked)
}

// starts are the prompts as the generator takes them. What stands for pictures in them is made by the weights as they are.
func (s *rlSampler) starts(prompts []objective.Prompt) ([][]generate.Part, error) {
	out := make([][]generate.Part, len(prompts))
	var pictures [][]float32
	for _, p := range prompts {
		pictures = append(pictures, p.Pictures...)
	}
	var rows [][]float32
	if len(pictures) > 0 {
		var err error
		if rows, err = s.eye.see(pictures); err != nil {
			return nil, err
		}
	}
	for i, p := range prompts {
		if n := len(p.Pictures); n > 0 {
			out[i], rows = s.eye.place(p.Tokens, rows[:n]), rows[n:]
		} else {
			out[i] = generate.Tokens(p.Tokens...)
		}
	}
	return out, nil
}

// Memory is part of objective.Weighed.
func (s *rlSampler) Memory() int64 { return s.generator.Memory() }

// Held is part of objective.Weighed.
func (s *rlSampler) Held() int64 { return s.generator.Held() }

// write samples the texts of some groups in one go.
func (s *rlSampler) write(groups []objective.Group, starts [][]generate.Part, which []int) error {
	var requests []generate.Request
	for _, i := range which {
		g := &groups[i]
		requests = append(requests, generate.Request{
			Prompt: starts[i], Samples: len(g.Samples), MaxTokens: s.room(len(g.Prompt.Tokens)),
			Seed: g.Prompt.Seed, Search: s.search, StopTokens: s.stops,
		})
	}
	results, err := s.generator.Generate(s.ctx, requests)
	if err != nil {
		return err
	}
	for k, i := range which {
		for j, t := range results[k].Texts {
			s.add(&groups[i].Samples[j], t)
		}
	}
	return nil
}

// room is how many tokens may follow n.
func (s *rlSampler) room(n int) int { return min(s.length, s.model.Config.Text.Context-n) }

// add appends a text to a sample.
func (s *rlSampler) add(to *objective.Sample, t generate.Text) {
	tokens := t.Tokens
	ended := len(t.LogProbs) > len(tokens)
	if ended {
		tokens = append(tokens[:len(tokens):len(tokens)], t.EndToken)
	}
	probs := t.SampledLogProbs
	if probs == nil { // the likeliest token
		probs = t.LogProbs
	}
	to.Tokens, to.LogProbs = append(to.Tokens, tokens...), append(to.LogProbs, probs...)
	to.Ended = ended
	if to.Given != nil {
		to.Given = append(to.Given, make([]bool, len(tokens))...)
	}
}

// world is what answers to the samples of a prompt; nil: nothing does.
func (s *rlSampler) world(p objective.Prompt) func(written string) string {
	problem := s.rows[p.Index].Problem
	if problem == nil {
		return nil
	}
	t, err := task.Find(problem.Task)
	if err != nil || t.Reply == nil {
		return nil
	}
	return func(written string) string { return t.Reply(problem, written) }
}

// rlTurn is a sample of a world that answers.
type rlTurn struct {
	group, sample int
	said          bool // the world has answered
}

// converse samples the texts of groups whose world answers once: first a token of each, then the rest, which is cut where the world's turn comes.
func (s *rlSampler) converse(groups []objective.Group, starts [][]generate.Part, which []int) error {
	var turns []*rlTurn
	for _, i := range which {
		for j := range groups[i].Samples {
			groups[i].Samples[j].Given = []bool{}
			turns = append(turns, &rlTurn{group: i, sample: j})
		}
	}
	most := []int{1, s.length, s.length} // tokens of each round
	for round, budget := range most {
		var open []*rlTurn
		var requests []generate.Request
		for _, t := range turns {
			g := &groups[t.group]
			x := &g.Samples[t.sample]
			room := s.room(len(g.Prompt.Tokens)) - len(x.Tokens)
			if x.Ended || room < 1 || round == 2 && !t.said {
				continue
			}
			start := starts[t.group]
			if len(x.Tokens) > 0 {
				start = append(start[:len(start):len(start)], generate.Part{Tokens: x.Tokens})
			}
			draws := rand.New(rand.NewPCG(g.Prompt.Seed, uint64(t.sample)<<8|uint64(round)))
			requests = append(requests, generate.Request{
				Prompt: start, Seed: draws.Uint64(), Search: s.search, StopTokens: s.stops, MaxTokens: min(budget, room),
			})
			open = append(open, t)
		}
		if len(requests) == 0 {
			return nil
		}
		results, err := s.generator.Generate(s.ctx, requests)
		if err != nil {
			return err
		}
		for k, t := range open {
			g := &groups[t.group]
			s.add(&g.Samples[t.sample], results[k].Texts[0])
			if !t.said {
				t.said = s.answer(g, t.sample)
			}
		}
	}
	return nil
}

// answer puts in what the world says to a sample, and cuts what was written after its turn.
func (s *rlSampler) answer(g *objective.Group, sample int) bool {
	x, reply := &g.Samples[sample], s.world(g.Prompt)
	for n := 1; n <= len(x.Tokens); n++ {
		said := reply(s.decode(x.Tokens[:n]))
		if said == "" {
			continue
		}
		put := s.encode(said)
		x.Tokens, x.LogProbs, x.Given, x.Ended = x.Tokens[:n], x.LogProbs[:n], x.Given[:n], false
		put = put[:max(0, min(len(put), s.room(len(g.Prompt.Tokens))-n))]
		x.Tokens, x.LogProbs = append(x.Tokens, put...), append(x.LogProbs, make([]float32, len(put))...)
		for range put {
			x.Given = append(x.Given, true)
		}
		return true
	}
	return false
}

// newRLSampler makes a sampler of the model that is being trained.
func newRLSampler(ctx context.Context, dev *compute, s rlSampler, rows int) (*rlSampler, error) {
	g, err := generate.New(dev.engine, s.model.Config, s.model.Live, generate.Options{Rows: rows, Device: dev.paged()})
	if err != nil {
		return nil, fmt.Errorf("sampler: %w", err)
	}
	s.ctx, s.generator = ctx, g
	return &s, nil
}
