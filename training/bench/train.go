package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
	"tempera/training/parallel"
)

// Result is one line of JSON. An item is a token (gpt, llama) or an image-text pair
// (clip, blip).
type Result struct {
	Peer      string  `json:"peer"`
	Model     string  `json:"model"`
	Loss      string  `json:"loss"`
	Params    int64   `json:"params"`
	Batch     int     `json:"batch"`
	Seq       int     `json:"seq"`
	Threads   int     `json:"threads"`
	StepMS    float64 `json:"step_ms"` // median
	ItemsPerS float64 `json:"items_per_s"`
	FirstLoss float64 `json:"first_loss"`
	LastLoss  float64 `json:"last_loss"`
	MinStepMS float64 `json:"min_step_ms"`
	GFLOPS    float64 `json:"gflops"` // of matrix products, at the median
	Device    string  `json:"device"`
	Devices   int     `json:"devices"`

	ActivationsMiB float64 `json:"activations_mib"` // as planned
}

// Train measures whole training steps: forward, backward, clipping at 1, AdamW.
func Train(ctx context.Context, o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	d, err := o.device(ctx)
	if err != nil {
		return Result{}, err
	}
	defer d.close()
	m, err := model.New(d.backend, o.config(), 0)
	if err != nil {
		return Result{}, err
	}
	obj, err := o.spread(m, d.group)
	if err != nil {
		return Result{}, err
	}
	r, err := o.measure(ctx, d.backend, m, obj)
	if c, ok := obj.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	r.Threads, r.Device, r.Devices = d.threads, d.backend.Name(), o.Devices
	if d.group != nil {
		r.Device += ", gradients by " + d.group.Name()
	}
	return r, err
}

// computer is what is measured.
type computer struct {
	backend device.Backend
	group   device.Group // of it and the devices that share steps; nil: there are no others
	threads int          // of the processor, if it is that
	close   func()
}

// device opens what is asked for.
func (o Options) device(ctx context.Context) (computer, error) {
	gpus, err := o.GPU.LeaseAll(ctx, o.Devices)
	if err != nil {
		return computer{}, err
	}
	if gpus != nil {
		return computer{gpus.Root(), gpus.Group, 0, func() { _ = gpus.Close() }}, nil // a measurement is over
	}
	e, _, err := o.engine()
	if err != nil {
		return computer{}, err
	}
	return computer{device.NewCPU(e), nil, e.Threads(), e.Close}, nil
}

// spread is the objective on the model's device, or on all of a group.
func (o Options) spread(m *model.Model, group device.Group) (sizedObjective, error) {
	if group == nil {
		return o.objective(m)
	}
	o.Accumulate = parallel.Parts(o.Accumulate, o.Devices)
	_, all, err := parallel.Spread(group, m, func(m *model.Model) (*objective.LM, error) { return objective.NewLM(m, o.plan()) })
	return all, err
}

func (o Options) config() model.Config {
	text := model.Text{Vocab: o.Vocab, Context: o.Seq, Layers: o.Layers, Heads: o.Heads, Hidden: o.FF}
	c := model.Config{Width: o.Dim}
	switch o.Model {
	case "gpt", "llama":
		c.Kind, text.TieHead = model.LM, true
		if o.Model == "llama" {
			text.Form, text.KVHeads = model.Llama, o.KVHeads
		}
	default:
		c.Kind, c.Embed = model.CLIP, o.Embed
		c.Vision = model.Vision{Image: o.Image, Patch: o.Patch, Layers: o.Layers, Heads: o.Heads, Hidden: o.FF}
		if o.Model == "blip" {
			c.Kind = model.BLIP
			break
		}
		c.Loss, text.Causal, text.Pool = model.Loss(o.Loss), true, model.Last
	}
	if o.Model != "llama" {
		c.Activation = model.GELUTanh
	}
	c.Text = text
	return c.Resolve()
}

func (o Options) objective(m *model.Model) (sizedObjective, error) {
	switch o.Model {
	case "clip":
		return objective.NewCLIP(m, o.plan())
	case "blip":
		blip := objective.DefaultBLIP(o.Batch)
		blip.Plan = o.plan()
		return objective.NewBLIP(m, blip)
	}
	return objective.NewLM(m, o.plan())
}

func (o Options) plan() objective.Plan {
	return objective.Plan{Batch: o.Batch, Accumulate: o.Accumulate, Checkpoint: o.Checkpoint}
}

// text tells whether the model sees no images.
func (o Options) text() bool { return o.Model == "gpt" || o.Model == "llama" }

// batch is random: speed does not depend on the data.
func (o Options) batch(c model.Config) *training.Batch {
	r := rand.New(rand.NewPCG(0, 0))
	b := &training.Batch{}
	ids := make([]int32, o.Batch*(o.Seq+1))
	for i := range ids {
		ids[i] = int32(r.IntN(o.Vocab))
	}
	tokens, targets := b.Int32s(objective.Tokens, o.Batch*o.Seq), b.Int32s(objective.Targets, o.Batch*o.Seq)
	lengths := b.Int32s(objective.Lengths, o.Batch)
	for i := range o.Batch {
		row := ids[i*(o.Seq+1):]
		copy(tokens[i*o.Seq:(i+1)*o.Seq], row)
		copy(targets[i*o.Seq:(i+1)*o.Seq], row[1:])
		lengths[i] = int32(o.Seq)
	}
	if !o.text() {
		images := b.Float32s(objective.Images, o.Batch*c.Vision.Pixels())
		for i := range images {
			images[i] = float32(r.NormFloat64())
		}
	}
	return b
}

func (o Options) measure(ctx context.Context, b device.Backend, m *model.Model, obj training.Objective) (r Result, err error) {
	adam, err := optim.NewAdamW(b, obj.Params(), optim.Options{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Decay: 0.1, Clip: 1})
	if err != nil {
		return r, err
	}
	r = Result{Peer: "tempera", Model: o.Model, Loss: "lm", Batch: o.Batch, Seq: o.Seq}
	if o.Model == "clip" {
		r.Loss = o.Loss
	}
	r.Params = parameters(m)
	batch := o.batch(m.Config)
	var ms []float64
	for step := range int64(o.Warmup + o.Steps) {
		if step == int64(o.Warmup) && o.Profile != "" {
			stop, err := profile(o.Profile)
			if err != nil {
				return r, err
			}
			defer func() { err = errors.Join(err, stop()) }()
		}
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		start := time.Now()
		loss, err := oneStep(step, batch, obj, adam)
		if err != nil {
			return r, fmt.Errorf("step %d: %w", step, err)
		}
		if step >= int64(o.Warmup) {
			ms = append(ms, float64(time.Since(start).Nanoseconds())/1e6)
		}
		if step == 0 {
			r.FirstLoss = round(loss, 4)
		}
		r.LastLoss = round(loss, 4)
	}
	slices.Sort(ms)
	median := (ms[(len(ms)-1)/2] + ms[len(ms)/2]) / 2
	items := o.Batch
	if o.text() {
		items *= o.Seq
	}
	r.StepMS, r.MinStepMS, r.ItemsPerS = round(median, 2), round(ms[0], 2), round(float64(items)/median*1e3, 1)
	if s, ok := obj.(training.Sized); ok {
		needs, err := s.Needs(o.Batch)
		if err != nil {
			return r, err
		}
		r.ActivationsMiB = round(float64(needs.Activations)/(1<<20), 1)
	}
	if c, ok := obj.(training.Costed); ok {
		r.GFLOPS = round(c.StepFLOPs()/median/1e6, 1)
	}
	return r, nil
}

func oneStep(step int64, batch *training.Batch, obj training.Objective, adam *optim.AdamW) (float64, error) {
	adam.ZeroGrad()
	metrics, err := obj.Step(step, batch)
	if err != nil {
		return 0, err
	}
	if _, err := adam.Step(step, 3e-4); err != nil {
		return 0, err
	}
	return metrics[training.LossKey], obj.Updated(step)
}

func round(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(v*p) / p
}

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
