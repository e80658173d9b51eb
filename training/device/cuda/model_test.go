//go:build gpu

package cuda

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
)

const pairs = 6 // samples of a batch

// subject is a model with an objective.
type subject struct {
	config    model.Config
	objective func(m *model.Model) (training.Objective, error)
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
	vlm := func(m *model.Model) (training.Objective, error) {
		return objective.NewVLM(m, objective.VLMOptions{Plan: plan})
	}
	blip := objective.DefaultBLIP(pairs)
	blip.Queue, blip.Momentum, blip.AlphaSteps, blip.Prompt = 2*pairs, 0.9, 6, 1
	sigmoid, llama, experts := config(model.CLIP), config(model.LM), config(model.LM)
	sigmoid.Loss, sigmoid.LogitBias = model.Sigmoid, -1
	llama.Text.Form, llama.Text.KVHeads, llama.Text.TieHead = model.Qwen2, 1, true
	experts.Text.Form, experts.Text.Experts = model.Llama, &model.Experts{Count: 4, Shared: 1, BalanceRate: 0.01}
	adapted := llama
	adapted.Text.TieHead, adapted.LoRA = false, &model.LoRA{Rank: 2}
	return map[string]subject{
		"gpt":                           {config(model.LM), lm(plan)},
		"gpt in parts, layers repeated": {config(model.LM), lm(parts)},
		"llama":                         {llama, lm(plan)},
		"llama with adapters":           {adapted, lm(plan)},
		"experts":                       {experts, lm(plan)},
		"clip":                          {config(model.CLIP), clip(plan)},
		"clip in parts":                 {config(model.CLIP), clip(parts)},
		"siglip":                        {sigmoid, clip(plan)},
		"blip":                          {config(model.BLIP), func(m *model.Model) (training.Objective, error) { return objective.NewBLIP(m, blip) }},
		"vlm":                           {config(model.VLM), vlm},
	}
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

// batches are pairs of noise and random words, the same ones every few steps.
func batches(c model.Config, distinct int64) training.Batches {
	c = c.Resolve()
	return func(step int64, b *training.Batch) error {
		r := rand.New(rand.NewPCG(5, uint64(step%distinct)))
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
}

// made is a model on a backend, with its objective.
func (s subject) made(t *testing.T, b device.Backend) (*model.Model, training.Objective) {
	t.Helper()
	m, err := model.New(b, s.config, 7)
	check(t, err)
	o, err := s.objective(m)
	check(t, err)
	t.Cleanup(func() { check(t, o.(io.Closer).Close()) })
	return m, o
}

// step is the loss of one batch and the gradients of all parameters.
func (s subject) step(t *testing.T, b device.Backend) (float64, map[string][]float32) {
	t.Helper()
	m, o := s.made(t, b)
	batch := &training.Batch{}
	check(t, batches(m.Config, 1)(0, batch))
	metrics, err := o.Step(0, batch)
	check(t, err)
	gradients := map[string][]float32{}
	for _, p := range m.Params() {
		if p.Grad != nil {
			g, err := device.ReadFloats(b, p.Grad)
			check(t, err)
			gradients[p.Name] = g
		}
	}
	return metrics[training.LossKey], gradients
}

func cpu(t *testing.T) device.Backend {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	check(t, err)
	t.Cleanup(e.Close)
	return device.NewCPU(e)
}

// away is how far g is from w, by the length of w; of gradients that are nearly nothing, by that of all.
func away(g, w []float32, all float64) float64 {
	var d, n float64
	for i := range w {
		d += (float64(g[i]) - float64(w[i])) * (float64(g[i]) - float64(w[i]))
		n += float64(w[i]) * float64(w[i])
	}
	return math.Sqrt(d) / max(math.Sqrt(n), all/20)
}

func TestModelsLearnWhatTheyLearnOnTheCPU(t *testing.T) {
	tolerances := map[Precision]struct{ loss, gradient float64 }{Full: {1e-5, 1e-3}, TF32: {2e-3, 2e-2}, Mixed: {0.01, 0.06}}
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) {
			wantLoss, want := s.step(t, cpu(t))
			var squares float64
			for _, w := range want {
				for _, x := range w {
					squares += float64(x) * float64(x)
				}
			}
			for precision, tolerance := range tolerances {
				t.Run(string(precision), func(t *testing.T) {
					loss, got := s.step(t, open(t, precision))
					if d := math.Abs(loss-wantLoss) / wantLoss; !(d <= tolerance.loss) {
						t.Errorf("the loss is %v, the CPU's %v", loss, wantLoss)
					}
					if len(got) != len(want) {
						t.Fatalf("%d parameters have a gradient, on the CPU %d", len(got), len(want))
					}
					for p, w := range want {
						if d := away(got[p], w, math.Sqrt(squares)); !(d <= tolerance.gradient) {
							t.Errorf("the gradient of %s is off by %.4f of its length", p, d)
						}
					}
				})
			}
		})
	}
}

// run trains on a few batches and returns the losses of the steps and the weights.
func (s subject) run(t *testing.T, p Precision, change func(*training.Loop)) ([]float64, string, error) {
	t.Helper()
	b := open(t, p)
	m, o := s.made(t, b)
	l := &losses{}
	loop := &training.Loop{Backend: b, Objective: o, Batches: batches(m.Config, 2), Metrics: l, Config: training.Config{
		Steps: 12, BatchSize: pairs, Seed: 3, LogSteps: 1, Digest: "test", PeakFLOPS: 1,
		Schedule: optim.Schedule{Peak: 5e-3, Warmup: 2, Floor: 0.01}, AdamW: optim.DefaultOptions(),
	}}
	change(loop)
	_, err := loop.Run(context.Background())
	w, werr := m.Weights()
	check(t, werr)
	digest, werr := w.Digest()
	check(t, werr)
	return l.values, digest, err
}

type losses struct{ values []float64 }

func (l *losses) Write(_ int64, m map[string]float64) error {
	l.values = append(l.values, m[training.LossKey])
	return nil
}

// kept is a checkpoint in memory.
type kept struct {
	step  int64
	bytes []byte
}

func (k *kept) Save(_ context.Context, step int64, write func(io.Writer) error) error {
	var b bytes.Buffer
	err := write(&b)
	k.step, k.bytes = step, b.Bytes()
	return err
}

func (k *kept) Load(_ context.Context, read func(int64, io.Reader) error) (bool, error) {
	if k.bytes == nil {
		return false, nil
	}
	return true, read(k.step, bytes.NewReader(k.bytes))
}

func TestTrainingLowersTheLossAndGoesOnAfterAStopToTheBit(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) {
			for _, p := range []Precision{Full, Mixed} {
				t.Run(string(p), func(t *testing.T) {
					whole, digest, err := s.run(t, p, func(*training.Loop) {})
					check(t, err)
					if first, last := whole[0]+whole[1], whole[10]+whole[11]; !(last < first) {
						t.Errorf("the losses are %v", whole)
					}
					store, stop := &kept{}, make(chan struct{})
					_, _, err = s.run(t, p, func(l *training.Loop) {
						l.Checkpoints, l.Stopping = store, stop
						l.Progress = func(done, _ int64, _ string) {
							if done == 5 {
								close(stop)
							}
						}
					})
					if !errors.Is(err, training.ErrStopped) || store.step != 5 {
						t.Fatalf("stopped after step %d: %v", store.step, err)
					}
					rest, again, err := s.run(t, p, func(l *training.Loop) { l.Checkpoints = store })
					check(t, err)
					if !slices.Equal(rest, whole[5:]) || again != digest {
						t.Errorf("resumed after step 5, the losses are %v; uninterrupted, they are %v", rest, whole[5:])
					}
				})
			}
		})
	}
}
