// Package bench measures decoding in the shape of another program, so that figures can be laid side by side: the flags and the JSON keys are
// those of the PyTorch script that the project's figures are compared with.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/pflag"

	"tempera/serving/generate"
	"tempera/training/device"
	"tempera/training/device/accelerator"
	"tempera/training/kernel"
	"tempera/training/model"
)

// Options are the shape and length of a measurement: greedy decoding of a model of the llama form with random weights.
type Options struct {
	Layers, Dim, Heads, KVHeads, FF, Vocab int
	Batch                                  int
	Prompt                                 int // tokens
	New                                    int // generated tokens
	Threads                                int
	GPU                                    accelerator.Flags
	Repeat                                 int // measurements, of which the best counts
	Level                                  kernel.Level
	Profile                                string // file that receives a CPU profile of the measurements; "": none
}

// Defaults are those of the peer.
func Defaults() Options {
	return Options{Layers: 4, Dim: 256, Heads: 4, KVHeads: 4, FF: 1024, Vocab: 512, Batch: 16, Prompt: 16, New: 112, Threads: 2, Repeat: 3}
}

// Bind adds a flag per option, with the present values as defaults.
func (o *Options) Bind(f *pflag.FlagSet) {
	for _, i := range []struct {
		to         *int
		name, help string
	}{
		{&o.Layers, "layers", "layers"},
		{&o.Dim, "dim", "width"},
		{&o.Heads, "heads", "attention heads"},
		{&o.KVHeads, "kv-heads", "heads of keys and values"},
		{&o.FF, "ff", "width within the MLP"},
		{&o.Vocab, "vocab", "size of the vocabulary"},
		{&o.Batch, "batch", "texts that run together"},
		{&o.Prompt, "prompt", "tokens of a prompt"},
		{&o.New, "new", "tokens that are generated for each"},
		{&o.Threads, "threads", "threads"},
		{&o.Repeat, "repeat", "measurements, of which the best counts"},
	} {
		f.IntVar(i.to, i.name, *i.to, i.help)
	}
	o.GPU.Bind(f)
	f.Var(&o.Level, "cpu-level", "CPU features to use: portable, avx2 or avx512 (default: the fastest that the CPU has, or $"+kernel.EnvLevel+")")
	f.StringVar(&o.Profile, "profile", o.Profile, "write a CPU profile of the measurements to this file")
}

// Validate returns all faults that the model's own check does not find.
func (o Options) Validate() error {
	var faults []error
	if o.Batch < 1 || o.Prompt < 1 || o.New < 1 || o.Repeat < 1 {
		faults = append(faults, fmt.Errorf("batch %d, prompt %d, new %d, repeat %d: give positive numbers", o.Batch, o.Prompt, o.New, o.Repeat))
	}
	if o.Threads < 0 {
		faults = append(faults, fmt.Errorf("threads is %d: give a number, or 0 for all cores", o.Threads))
	}
	if _, err := o.Level.Resolve(); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, o.GPU.Faults()...)
	if err := o.config().Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (o Options) config() model.Config {
	return model.Config{Kind: model.LM, Width: o.Dim, Text: model.Text{
		Form: model.Llama, Vocab: o.Vocab, Context: o.Prompt + o.New, Layers: o.Layers, Heads: o.Heads, KVHeads: o.KVHeads, Hidden: o.FF,
		NormEps: 1e-6, TieHead: true,
	}}.Resolve()
}

// Result is one line of JSON.
type Result struct {
	Peer       string  `json:"peer"`
	Batch      int     `json:"batch"`
	Threads    int     `json:"threads"`
	TokensPerS float64 `json:"tokens_per_s"`    // generated ones, the prompts' time included
	StepUS     float64 `json:"step_us"`         // of one token for every text, the prompts' time divided among them
	WeightGBPS float64 `json:"weight_gb_per_s"` // the weights' bytes over the time of a step
	Params     int64   `json:"params"`
	Device     string  `json:"device"`
}

// Decode measures greedy decoding: prompts of random tokens, then New tokens each.
func Decode(ctx context.Context, o Options) (r Result, err error) {
	if err := o.Validate(); err != nil {
		return r, err
	}
	e, err := kernel.New(kernel.Options{Threads: o.Threads, Level: o.Level})
	if err != nil {
		return r, err
	}
	defer e.Close()
	c := o.config()
	values := map[string][]float32{}
	for _, s := range c.Params() {
		values[s.Name] = s.Values(0)
		r.Params += int64(len(values[s.Name]))
	}
	options := generate.Options{Rows: o.Batch}
	gpu, err := o.GPU.Lease(ctx)
	if err != nil {
		return r, err
	}
	if gpu != nil {
		defer func() { err = errors.Join(err, gpu.Close()) }()
		options.Device = gpu.Backend
	}
	g, err := generate.New(e, c, func(name string) ([]float32, error) { return values[name], nil }, options)
	if err != nil {
		return r, err
	}
	requests := o.requests(c)
	if _, err := g.Generate(ctx, requests); err != nil {
		return r, err
	}
	if o.Profile != "" {
		stop, err := profile(o.Profile)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	best := time.Duration(math.MaxInt64)
	for range o.Repeat {
		start := time.Now()
		if _, err := g.Generate(ctx, requests); err != nil {
			return r, err
		}
		best = min(best, time.Since(start))
	}
	step := best.Seconds() / float64(o.New)
	r.Peer, r.Batch, r.Threads, r.Device = "tempera", o.Batch, e.Threads(), fmt.Sprintf("cpu (%v, %d threads)", e.Level(), e.Threads())
	bytes := int64(4)
	if gpu != nil {
		r.Device, bytes = gpu.Backend.Name(), int64(device.ActivationsOf(gpu.Backend).Bytes())
	}
	r.TokensPerS, r.StepUS = round(float64(o.Batch)/step), round(step*1e6)
	r.WeightGBPS = round(float64(bytes*r.Params) / step / 1e9)
	return r, nil
}

// requests are as long as the peer's: nothing ends a text but its length.
func (o Options) requests(c model.Config) []generate.Request {
	r := rand.New(rand.NewPCG(0, 0))
	out := make([]generate.Request, o.Batch)
	for i := range out {
		ids := make([]int32, o.Prompt)
		for k := range ids {
			ids[k] = r.Int32N(int32(o.Vocab))
		}
		out[i] = generate.Request{Prompt: generate.Tokens(ids...), MaxTokens: o.New, Suppress: []int32{c.Text.Special.EOS}}
	}
	return out
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// profile starts a CPU profile and returns what ends it.
func profile(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
