package bench

import (
	"context"
	"errors"
	"io"
	"time"

	"tempera/training"
	"tempera/training/model"
	"tempera/training/optim"
)

// LoadResult says what feeding costs a training whose batches are made beside it.
type LoadResult struct {
	Peer      string  `json:"peer"`
	Model     string  `json:"model"`
	Batch     int     `json:"batch"`
	Image     int     `json:"image"`
	Threads   int     `json:"threads"`
	StepMS    float64 `json:"step_ms"`     // mean, the waiting included
	BatchMS   float64 `json:"batch_ms"`    // median time that making one batch takes on its own core
	WaitMS    float64 `json:"wait_ms"`     // mean time that a step waits for its batch
	Stall     float64 `json:"stall"`       // the share of the time that is such waiting
	PerSecond float64 `json:"items_per_s"` // that the loader alone makes on one core
}

// Load trains on the batches of fill and measures how long steps wait for them. Give it one thread fewer than there are cores.
func Load(ctx context.Context, o Options, fill func(model.Config) (training.Batches, error)) (r LoadResult, err error) {
	d, err := o.device(ctx)
	if err != nil {
		return r, err
	}
	defer d.close()
	m, err := model.New(d.backend, o.config(), 0)
	if err != nil {
		return r, err
	}
	obj, err := o.spread(m, d.group)
	if err != nil {
		return r, err
	}
	if c, ok := obj.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	batches, err := fill(m.Config)
	if err != nil {
		return r, err
	}
	var making []time.Duration
	times := &stepTimes{skip: int64(o.Warmup)}
	loop := training.Loop{
		Config: o.loopConfig(), Backend: d.backend, Objective: obj, Metrics: times,
		Batches: func(step int64, b *training.Batch) error {
			start := time.Now()
			err := batches(step, b)
			making = append(making, time.Since(start))
			return err
		},
	}
	loop.Config.LogSteps = 1
	if _, err := loop.Run(ctx); err != nil {
		return r, err
	}
	made := median(making)
	return LoadResult{
		Peer: "tempera", Model: o.Model, Batch: o.Batch, Image: o.Image, Threads: d.threads,
		StepMS: round(times.step/float64(o.Steps), 3), WaitMS: round(times.wait/float64(o.Steps), 3), Stall: round(times.wait/times.step, 5),
		BatchMS: milliseconds(made), PerSecond: round(float64(o.Batch)/made.Seconds(), 1),
	}, nil
}

// stepTimes adds up what a loop that writes the metrics of every step tells of its speed.
type stepTimes struct {
	skip       int64
	step, wait float64 // milliseconds
}

// Write is part of training.Loop's metrics.
func (t *stepTimes) Write(step int64, m map[string]float64) error {
	if step >= t.skip {
		t.step, t.wait = t.step+m["step_ms"], t.wait+m["wait_ms"]
	}
	return nil
}

// loopConfig is that of a training of Warmup + Steps steps.
func (o Options) loopConfig() training.Config {
	return training.Config{
		Steps: int64(o.Warmup + o.Steps), BatchSize: o.Batch, Digest: "bench",
		Schedule: optim.Schedule{Peak: 3e-4}, AdamW: optim.Options{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Decay: 0.1, Clip: 1},
	}
}
