package parallel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
	"tempera/training/policy"
)

const batch = 6 // samples of a step, each a micro-batch of its own

// subject is a model with an objective that devices can share, and what fills a batch.
type subject struct {
	config    model.Config
	objective func(m *model.Model) (parallel.Replica, error)
	fill      func(c model.Config, r *rand.Rand, b *training.Batch) error
}

func subjects() map[string]subject {
	plan := objective.Plan{Batch: batch, Accumulate: batch, Lengths: []int{5}}
	lm := func(m *model.Model) (parallel.Replica, error) { return objective.NewLM(m, plan) }
	gpt, experts, adapted := config(model.LM), config(model.LM), config(model.LM)
	experts.Text.Form, experts.Text.Experts = model.Llama, &model.Experts{Count: 4, Shared: 1, BalanceRate: 0.01}
	adapted.Text.Form, adapted.LoRA = model.Llama, &model.LoRA{Rank: 2}
	return map[string]subject{
		"lm":                  {gpt, lm, fillPairs},
		"experts":             {experts, lm, fillPairs},
		"packed texts, noisy": {gpt, packed, fillPacked},
		"captioning": {config(model.BLIP), func(m *model.Model) (parallel.Replica, error) {
			o := objective.Captioning(batch)
			o.Plan = plan
			return objective.NewBLIP(m, o)
		}, fillPairs},
		"vlm": {config(model.VLM), func(m *model.Model) (parallel.Replica, error) {
			return objective.NewVLM(m, objective.VLMOptions{Plan: plan})
		}, fillPairs},
		"preferences, with adapters": {adapted, preferences, fillSpans},
	}
}

func config(kind model.Kind) model.Config {
	c := model.Config{Kind: kind, Width: 16, Embed: 12, Text: model.Text{Vocab: 24, Context: 7, Layers: 2, Heads: 2}}
	if kind != model.LM {
		c.Vision = model.Vision{Image: 8, Patch: 4, Layers: 2, Heads: 2}
	}
	if kind == model.VLM {
		c.Embed, c.Text.Special.Image = 0, 23
	}
	return c
}

// packed are packed texts that a teacher, one on each device, and noise go with.
func packed(m *model.Model) (parallel.Replica, error) {
	teacher, err := model.New(m.Backend(), config(model.LM), 9)
	if err != nil {
		return nil, err
	}
	return objective.NewTunedLM(m, objective.TuneOptions{
		Plan: objective.Plan{Accumulate: batch}, Noise: objective.Noise{Alpha: 5, Seed: 1},
		Teacher: &objective.Teacher{Model: teacher, Temperature: 2, Weight: 0.7},
	}, objective.PackedShape{Rows: batch, Context: m.Config.Text.Context, Ends: 2*batch + 1})
}

// fillPairs lays texts of uneven lengths, with images where the model sees.
func fillPairs(c model.Config, r *rand.Rand, b *training.Batch) error {
	t := c.Text.Context
	tokens, lengths, targets := b.Int32s(objective.Tokens, batch*t), b.Int32s(objective.Lengths, batch), b.Int32s(objective.Targets, batch*t)
	for i := range batch {
		lengths[i] = int32(4 + r.IntN(t-3))
		for j := range t {
			at := i*t + j
			tokens[at], targets[at] = int32(4+r.IntN(18)), int32(4+r.IntN(18))
			if j == 1 && c.Kind == model.VLM {
				tokens[at] = c.Text.Special.Image
			}
			if j >= int(lengths[i]) {
				tokens[at], targets[at] = c.Text.Special.Pad, device.IgnoreIndex
			}
		}
	}
	if c.Kind == model.LM {
		return nil
	}
	images := b.Float32s(objective.Images, batch*c.Vision.Pixels())
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	return nil
}

// fillPacked lays two texts into each row.
func fillPacked(c model.Config, r *rand.Rand, b *training.Batch) error {
	t, ends := c.Text.Context, b.Int32s(objective.Ends, 2*batch+1)
	clear(ends)
	copy(b.Int32s(objective.Shape, 3), []int32{batch, int32(t), int32(len(ends))})
	tokens, targets, positions := b.Int32s(objective.Tokens, batch*t), b.Int32s(objective.Targets, batch*t), b.Int32s(objective.Positions, batch*t)
	for i := range tokens {
		tokens[i], targets[i], positions[i] = int32(r.IntN(c.Text.Vocab)), int32(r.IntN(c.Text.Vocab)), int32(i%t%3)
	}
	for i := range batch {
		ends[2*i+1], ends[2*i+2] = int32(i*t+3), int32(i*t+t)
	}
	return nil
}

// spanRoom is that of a part: a pair.
var spanRoom = objective.SpanShape{Texts: 2, Spans: 2, Tokens: 16}

func preferences(m *model.Model) (parallel.Replica, error) {
	return objective.NewSpans(m, objective.SpanOptions{
		Plan: objective.Plan{Batch: batch, Accumulate: batch}, Extra: []string{objective.Reference},
		Loss: objective.Preference(policy.Preferences()[0], policy.PreferenceOptions{Beta: 0.4}),
	}, spanRoom)
}

// fillSpans lays pairs of a chosen and a rejected completion.
func fillSpans(c model.Config, r *rand.Rand, b *training.Batch) error {
	parts := make([][]objective.SpanText, batch)
	for i := range parts {
		for range 2 {
			x := objective.SpanText{Spans: []objective.Span{{From: 2, To: 6}}}
			for k := range 6 {
				x.Tokens, x.Learn = append(x.Tokens, int32(r.IntN(c.Text.Vocab))), append(x.Learn, k >= 2)
			}
			parts[i] = append(parts[i], x)
		}
	}
	reference := b.Float32s(objective.Reference, 2*batch)
	for i := range reference {
		reference[i] = -12 + float32(r.NormFloat64())
	}
	return objective.LaySpans(b, c, spanRoom, parts...)
}

func (s subject) batches(step int64, b *training.Batch) error {
	return s.fill(s.config.Resolve(), rand.New(rand.NewPCG(5, uint64(step))), b)
}

// trained is a model with its objective.
type trained struct {
	model     *model.Model
	objective training.Objective
	replicas  []parallel.Replica
}

// on makes the subject on all devices of a group; nil: on one device, without those.
func (s subject) on(t *testing.T, backends []device.Backend, group device.Group) trained {
	t.Helper()
	var made trained
	for rank, b := range backends {
		var m *model.Model
		var err error
		if rank == 0 {
			m, err = model.New(b, s.config, 7)
			made.model = m
		} else {
			m, err = made.model.On(b)
		}
		require.NoError(t, err)
		r, err := s.objective(m)
		require.NoError(t, err)
		made.replicas = append(made.replicas, r)
	}
	if group == nil {
		made.objective = made.replicas[0]
		t.Cleanup(func() { require.NoError(t, made.replicas[0].Close()) })
		return made
	}
	o, err := parallel.New(group, made.replicas...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	made.objective = o
	return made
}
