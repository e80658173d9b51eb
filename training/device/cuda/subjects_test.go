//go:build gpu

package cuda

import (
	"math/rand/v2"

	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/policy"
)

const pairs = 6 // samples of a batch

// subject is a model with an objective, and what fills a batch; nil: fillPairs.
type subject struct {
	config    model.Config
	objective func(m *model.Model) (training.Objective, error)
	fill      func(c model.Config, r *rand.Rand, b *training.Batch) error
}

func subjects() map[string]subject {
	plan := objective.Plan{Batch: pairs}
	parts := objective.Plan{Batch: pairs, Accumulate: 3, Checkpoint: true, Lengths: []int{6}}
	lm := func(p objective.Plan) func(m *model.Model) (training.Objective, error) {
		return func(m *model.Model) (training.Objective, error) { return objective.NewLM(m, p) }
	}
	clip := func(p objective.Plan) func(m *model.Model) (training.Objective, error) {
		return func(m *model.Model) (training.Objective, error) { return objective.NewCLIP(m, p) }
	}
	vlm := func(room *model.PackedShape) func(m *model.Model) (training.Objective, error) {
		return func(m *model.Model) (training.Objective, error) {
			return objective.NewVLM(m, objective.VLMOptions{Plan: plan, Packed: room})
		}
	}
	blip := objective.DefaultBLIP(pairs)
	blip.Queue, blip.Momentum, blip.AlphaSteps, blip.Prompt = 2*pairs, 0.9, 6, 1
	sigmoid, llama, experts := config(model.CLIP), config(model.LM), config(model.LM)
	sigmoid.Loss, sigmoid.LogitBias = model.Sigmoid, -1
	llama.Text.Form, llama.Text.KVHeads, llama.Text.TieHead = model.Qwen2, 1, true
	experts.Text.Form, experts.Text.Experts = model.Llama, &model.Experts{Count: 4, Shared: 1, BalanceRate: 0.01}
	adapted := llama
	adapted.Text.TieHead, adapted.LoRA = false, &model.LoRA{Rank: 2}
	native := config(model.VLM)
	native.Vision.Form, native.Vision.Grid, native.Text.Form, native.Text.Context = model.MoonViT, 3, model.Llama, 9
	return map[string]subject{
		"gpt":                             {config: config(model.LM), objective: lm(plan)},
		"gpt in parts, layers repeated":   {config: config(model.LM), objective: lm(parts)},
		"llama":                           {config: llama, objective: lm(plan)},
		"llama with adapters":             {config: adapted, objective: lm(plan)},
		"llama on packed texts, taught":   {config: llama, objective: tuned, fill: fillPacked},
		"llama by preferences":            {config: adapted, objective: preferences, fill: fillSpans},
		"experts":                         {config: experts, objective: lm(plan)},
		"clip":                            {config: config(model.CLIP), objective: clip(plan)},
		"clip in parts":                   {config: config(model.CLIP), objective: clip(parts)},
		"siglip":                          {config: sigmoid, objective: clip(plan)},
		"blip":                            {config: config(model.BLIP), objective: func(m *model.Model) (training.Objective, error) { return objective.NewBLIP(m, blip) }},
		"vlm":                             {config: config(model.VLM), objective: vlm(nil)},
		"vlm on images of their own size": {config: native, objective: vlm(&imageRoom), fill: fillImages},
	}
}

// tuned is a student of packed texts, disturbed by noise.
func tuned(m *model.Model) (training.Objective, error) {
	c := config(model.LM)
	c.Width, c.Text.Form = 16, model.Llama
	teacher, err := model.New(m.Backend(), c, 9)
	if err != nil {
		return nil, err
	}
	return objective.NewTunedLM(m, objective.TuneOptions{
		Noise: objective.Noise{Alpha: 5, Seed: 1}, Teacher: &objective.Teacher{Model: teacher, Temperature: 2, Weight: 0.7},
	}, objective.PackedShape{Rows: pairs, Context: m.Config.Text.Context, Ends: 2*pairs + 1})
}

// fillPacked lays two texts into each row.
func fillPacked(c model.Config, r *rand.Rand, b *training.Batch) error {
	t, ends := c.Text.Context, b.Int32s(objective.Ends, 2*pairs+1)
	copy(b.Int32s(objective.Shape, 3), []int32{pairs, int32(t), int32(len(ends))})
	tokens, targets, positions := b.Int32s(objective.Tokens, pairs*t), b.Int32s(objective.Targets, pairs*t), b.Int32s(objective.Positions, pairs*t)
	for i := range tokens {
		tokens[i], targets[i] = int32(r.IntN(c.Text.Vocab)), int32(r.IntN(c.Text.Vocab))
		positions[i] = int32(i % t)
		if i%t >= 3 {
			positions[i] -= 3
		}
	}
	for i := range pairs {
		ends[2*i+1], ends[2*i+2] = int32(i*t+3), int32(i*t+t)
	}
	return nil
}

var spanRoom = objective.SpanShape{Texts: pairs, Spans: pairs, Tokens: 40}

func preferences(m *model.Model) (training.Objective, error) {
	o := policy.PreferenceOptions{Beta: 0.4}
	return objective.NewSpans(m, objective.SpanOptions{
		Plan: objective.Plan{Batch: pairs}, Loss: objective.Preference(policy.Preferences()[0], o), Extra: []string{objective.Reference},
	}, spanRoom)
}

// fillSpans lays texts of a prompt and a completion, in turns the chosen and the rejected one.
func fillSpans(c model.Config, r *rand.Rand, b *training.Batch) error {
	texts := make([]objective.SpanText, pairs)
	for i := range texts {
		x := &texts[i]
		x.Spans = []objective.Span{{From: 2, To: 6}}
		for k := range 6 {
			x.Tokens, x.Learn = append(x.Tokens, int32(r.IntN(c.Text.Vocab))), append(x.Learn, k >= 2)
		}
	}
	reference := b.Float32s(objective.Reference, pairs)
	for i := range reference {
		reference[i] = -12
	}
	return objective.LaySpans(b, c, spanRoom, texts)
}

var imageRoom = model.PackedShape{Patches: 80, Images: 7}

// fillImages lays texts with an image each, of several sizes.
func fillImages(c model.Config, r *rand.Rand, b *training.Batch) error {
	images := make([]model.Image, pairs)
	for i := range images {
		h, w := 8*(1+i%2), 8*(1+i%3)
		images[i] = model.Image{Pixels: make([]float32, 3*h*w), Height: h, Width: w}
		for k := range images[i].Pixels {
			images[i].Pixels[k] = float32(r.NormFloat64())
		}
	}
	p, err := c.PackImages(imageRoom, images)
	if err != nil {
		return err
	}
	p.Put(b)
	t := c.Text.Context
	tokens, targets := b.Int32s(objective.Tokens, pairs*t), b.Int32s(objective.Targets, pairs*t)
	for i := range tokens {
		tokens[i], targets[i] = int32(4+r.IntN(18)), int32(4+r.IntN(18))
		if at := i % t; at > 0 && at <= p.Tokens[i/t] {
			tokens[i] = c.Text.Special.Image
		}
	}
	return nil
}

func config(kind model.Kind) model.Config {
	c := model.Config{Kind: kind, Width: 32, Embed: 24, Text: model.Text{Vocab: 23, Context: 7, Layers: 2, Heads: 2}}
	if kind != model.LM {
		c.Vision = model.Vision{Image: 8, Patch: 4, Layers: 2, Heads: 2}
	}
	if kind == model.VLM {
		c.Embed, c.Text.Vocab, c.Text.Special.Image = 0, 24, 23
	}
	return c
}

// batches are the same ones every few steps.
func (s subject) batches(distinct int64) training.Batches {
	c, fill := s.config.Resolve(), s.fill
	if fill == nil {
		fill = fillPairs
	}
	return func(step int64, b *training.Batch) error {
		return fill(c, rand.New(rand.NewPCG(5, uint64(step%distinct))), b)
	}
}

// fillPairs lays random words, and images of noise where the model has images.
func fillPairs(c model.Config, r *rand.Rand, b *training.Batch) error {
	t := c.Text.Context
	tokens, lengths, targets := b.Int32s(objective.Tokens, pairs*t), b.Int32s(objective.Lengths, pairs), b.Int32s(objective.Targets, pairs*t)
	for i := range pairs {
		lengths[i] = int32(4 + r.IntN(t-3))
		for j := range t {
			id := int32(4 + r.IntN(18))
			switch {
			case j == 1 && c.Kind == model.VLM:
				id = c.Text.Special.Image
			case j == 0:
				id = c.Text.Special.BOS
			case j == int(lengths[i])-1:
				id = c.Text.Special.EOS
			case j >= int(lengths[i]):
				id = c.Text.Special.Pad
			}
			tokens[i*t+j], targets[i*t+j] = id, int32(r.IntN(c.Text.Vocab))
		}
	}
	if c.Kind != model.LM {
		images := b.Float32s(objective.Images, pairs*c.Vision.Pixels())
		for i := range images {
			images[i] = float32(r.NormFloat64())
		}
	}
	return nil
}
