package activities

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/pflag"

	"tempera/datagen/example"
	"tempera/serving/generate"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
)

// RLBench is the shape and length of a measurement of the kind rl: GRPO with random weights that hardly move, so that texts end by chance. The flags
// and the JSON keys are those of the PyTorch script that the project's figures are compared with.
type RLBench struct {
	Layers, Dim, Heads, FF, Vocab int
	Prompts, Group                int
	Prompt, New                   int // tokens
	Minibatches                   int
	Iterations, Warmup            int
	Threads                       int
	Level                         kernel.Level
}

// DefaultRLBench is the shape of runs/r1-arithmetic.yaml.
func DefaultRLBench() RLBench {
	return RLBench{Layers: 2, Dim: 64, Heads: 4, FF: 168, Vocab: 19, Prompts: 32, Group: 8, Prompt: 9, New: 48, Minibatches: 2, Iterations: 20, Warmup: 3, Threads: 2}
}

// Bind adds a flag per option, with the present values as defaults.
func (o *RLBench) Bind(f *pflag.FlagSet) {
	for _, i := range []struct {
		to         *int
		name, help string
	}{
		{&o.Layers, "layers", "layers"},
		{&o.Dim, "dim", "width"},
		{&o.Heads, "heads", "attention heads"},
		{&o.FF, "ff", "width within the MLP"},
		{&o.Vocab, "vocab", "size of the vocabulary"},
		{&o.Prompts, "prompts", "prompts of an iteration"},
		{&o.Group, "group", "samples of a prompt"},
		{&o.Prompt, "prompt", "tokens of a prompt"},
		{&o.New, "new", "most tokens of a sample"},
		{&o.Minibatches, "minibatches", "optimiser steps of an iteration"},
		{&o.Iterations, "iterations", "iterations that are measured"},
		{&o.Warmup, "warmup", "iterations before those"},
		{&o.Threads, "threads", "threads"},
	} {
		f.IntVar(i.to, i.name, *i.to, i.help)
	}
	f.Var(&o.Level, "cpu-level", "CPU features to use: portable, avx2 or avx512 (default: the fastest that the CPU has, or $"+kernel.EnvLevel+")")
}

// RLBenchResult is one line of JSON.
type RLBenchResult struct {
	Peer         string  `json:"peer"`
	Threads      int     `json:"threads"`
	SamplesPerS  float64 `json:"samples_per_s"`
	MeanLength   float64 `json:"mean_length"`
	RolloutShare float64 `json:"rollout_share"`
	ScoreShare   float64 `json:"score_share"`
	TrainShare   float64 `json:"train_share"`
	Params       int64   `json:"params"`
	Device       string  `json:"device"`
}

// likedShare rewards a token by its share in a text.
type likedShare struct{ token int32 }

// Judge is part of objective.Judge.
func (l likedShare) Judge(groups []objective.Group) error {
	for i := range groups {
		g := &groups[i]
		g.Verdicts = make([]objective.Verdict, len(g.Samples))
		for k, s := range g.Samples {
			for _, t := range s.Tokens {
				if t == l.token {
					g.Verdicts[k].Reward += 1 / float64(len(s.Tokens))
				}
			}
		}
	}
	return nil
}

// randomPrompts are prompts of random tokens, none of which is special.
type randomPrompts struct{ tokens, vocab int }

// Draw is part of objective.Prompts.
func (p randomPrompts) Draw(iteration int64, _, n int) ([]objective.Prompt, error) {
	r := rand.New(rand.NewPCG(1, uint64(iteration)))
	out := make([]objective.Prompt, n)
	for i := range out {
		for range p.tokens {
			out[i].Tokens = append(out[i].Tokens, 3+r.Int32N(int32(p.vocab-3)))
		}
	}
	return out, nil
}

// Run measures iterations: sampling, rewards by a rule, and the optimiser's steps.
func (o RLBench) Run(ctx context.Context) (r RLBenchResult, err error) {
	if min(o.Prompts, o.Group, o.Prompt, o.New, o.Minibatches, o.Iterations) < 1 || o.Warmup < 1 || o.Threads < 0 || o.Vocab < 8 {
		return r, fmt.Errorf("shape %+v: give positive numbers, a warm-up too, and a vocabulary of 8 or more", o)
	}
	e, err := kernel.New(kernel.Options{Threads: o.Threads, Level: o.Level})
	if err != nil {
		return r, err
	}
	defer e.Close()
	dev := &compute{e, device.NewCPU(e)}
	m, err := model.New(dev.backend, model.Config{Kind: model.LM, Width: o.Dim, Text: model.Text{
		Form: model.Llama, Vocab: o.Vocab, Context: o.Prompt + o.New, Layers: o.Layers, Heads: o.Heads, Hidden: o.FF, TieHead: true,
	}}, 0)
	if err != nil {
		return r, err
	}
	sampler, err := newRLSampler(ctx, dev, rlSampler{
		model: m, rows: []*example.Example{{}}, search: generate.Search{Temperature: 1}, length: o.New,
	}, o.Prompts*o.Group)
	if err != nil {
		return r, err
	}
	p := defaultRL()
	p.Prompts, p.Group, p.Loss.Minibatches = o.Prompts, o.Group, &o.Minibatches
	options, err := p.options(o.New)
	if err != nil {
		return r, err
	}
	goal, err := objective.NewPolicy(objective.PolicyParts{Model: m, Prompts: randomPrompts{o.Prompt, o.Vocab}, Sampler: sampler, Judge: likedShare{7}}, options)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, goal.Close()) }()
	sums := rlSums{skip: o.Warmup}
	adam := optim.DefaultOptions()
	adam.Decay = 0
	loop := &training.Loop{
		Config: training.Config{
			Steps: int64(o.Warmup+o.Iterations) * options.Steps(), BatchSize: o.Prompts * o.Group, LogSteps: options.Steps(),
			Schedule: optim.Schedule{Peak: 1e-7, Floor: 1}, AdamW: adam,
		},
		Backend: dev.backend, Objective: goal, Batches: func(int64, *training.Batch) error { return nil }, Metrics: &sums,
	}
	if _, err := loop.Run(ctx); err != nil {
		return r, err
	}
	for _, x := range m.Params() {
		r.Params += int64(x.Value.Size())
	}
	r.Peer, r.Threads, r.Device = "tempera", e.Threads(), dev.backend.Name()
	sums.fill(&r, o)
	return r, nil
}

// rlSums adds what iterations measured. An iteration takes from the end of the one before it to its own, the optimiser and the loop included.
type rlSums struct {
	skip, rows                      int
	last                            time.Time
	rollout, scoring, seconds, long float64
}

// Write is part of training.Loop's metrics.
func (s *rlSums) Write(_ int64, m map[string]float64) error {
	now := time.Now()
	seconds := now.Sub(s.last).Seconds()
	s.last = now
	if s.rows++; s.rows <= s.skip {
		return nil
	}
	s.seconds += seconds
	s.rollout += m["seconds_rollout"]
	s.scoring += m["seconds_scoring"]
	s.long += m["length"]
	return nil
}

func (s *rlSums) fill(r *RLBenchResult, o RLBench) {
	seconds, n := s.seconds, float64(o.Iterations)
	r.SamplesPerS = n * float64(o.Prompts*o.Group) / seconds
	r.MeanLength = s.long / n
	r.RolloutShare, r.ScoreShare, r.TrainShare = s.rollout/seconds, s.scoring/seconds, (s.seconds-s.rollout-s.scoring)/seconds
}
