package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tempera/datagen/loader"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
)

// fitParams are the parameters of every training.
type fitParams struct {
	Objective    string         `json:"objective" doc:"What is learned: clip (contrast in the batch) or blip (contrast, matching, captioning)." enum:"clip,blip"`
	Steps        int64          `json:"steps" doc:"Optimiser steps." min:"1"`
	Batch        int            `json:"batch" doc:"Pairs of a step." min:"2"`
	LearningRate float64        `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine." above:"0"`
	WarmUp       int64          `json:"warm_up" doc:"Steps of linear warm-up; at most a tenth of the steps is used." min:"0"`
	Optimizer    string         `json:"optimizer" doc:"What turns gradients into updates: adamw, or muon for the matrices of blocks, which takes the same rate and decay." enum:"adamw,muon"`
	Decay        float64        `json:"decay" doc:"Decoupled weight decay of matrices." min:"0"`
	ClipNorm     float64        `json:"clip_norm" doc:"Largest norm of the gradient." above:"0"`
	Seed         uint64         `json:"seed" doc:"Seed of the initial weights, of the order of the data and of every draw."`
	ITC          float64        `json:"itc" doc:"blip: weight of image-text contrast." min:"0"`
	ITM          float64        `json:"itm" doc:"blip: weight of image-text matching with hard negatives." min:"0"`
	LM           float64        `json:"lm" doc:"blip: weight of captioning." min:"0"`
	Queue        int            `json:"queue" doc:"blip: batches of momentum features to contrast with besides the batch; 0 contrasts within the batch, without momentum encoders." min:"0"`
	Smoothing    float64        `json:"smoothing" doc:"blip: label smoothing of captioning." min:"0" below:"1"`
	Augment      loader.Augment `json:"augment" doc:"Random changes of the training images."`
	Checkpoint   float64        `json:"checkpoint_seconds" doc:"Seconds between checkpoints: what a crash costs at most." above:"0"`
}

// Validate reports what no single field shows.
func (p fitParams) Validate() error {
	var faults []error
	if p.Objective == "blip" && p.ITC+p.ITM+p.LM == 0 {
		faults = append(faults, errors.New("itc, itm and lm are all 0: give one of them a weight"))
	}
	return errors.Join(append(faults, p.Augment.Validate())...)
}

func defaultFit() fitParams {
	return fitParams{
		Objective: "blip", Steps: 500, Batch: 64, LearningRate: 2e-3, WarmUp: 50, Optimizer: "adamw", Decay: 0.1, ClipNorm: 1,
		ITC: 1, ITM: 1, LM: 1, Queue: 8, Smoothing: 0.1, Checkpoint: 10,
	}
}

// fit trains m on the input data and publishes it.
func fit(ctx context.Context, t *Task, p fitParams, m *model.Model, enc *captionEncoder, tok artifact.File) (err error) {
	sets, closeSets, err := openSets(ctx, t, t.Inputs["data"])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSets()) }()
	var parts []loader.Part
	for _, s := range sets {
		parts = append(parts, loader.Part{Data: s})
	}
	mean, std := m.Config.Vision.Normalization()
	l, err := loader.New(loader.Config{Batch: p.Batch, Seed: p.Seed, Image: m.Config.Vision.Image, Augment: p.Augment, Mean: mean, Std: std}, parts...)
	if err != nil {
		return Invalid(err)
	}
	goal, err := newObjective(p, m, l.StepsPerEpoch())
	if err != nil {
		return Invalid(err)
	}
	defer func() { err = errors.Join(err, goal.Close()) }()
	adam := optim.DefaultOptions()
	adam.Method, adam.Decay, adam.Clip = optim.Method(p.Optimizer), p.Decay, p.ClipNorm
	loop := training.Loop{
		Config: training.Config{
			Steps: p.Steps, BatchSize: p.Batch, Seed: p.Seed, AdamW: adam, Digest: t.Key,
			Schedule:        optim.Schedule{Peak: p.LearningRate, Warmup: min(p.WarmUp, p.Steps/10)},
			CheckpointEvery: time.Duration(p.Checkpoint * float64(time.Second)),
		},
		Backend: m.Backend(), Objective: goal, Batches: trainingBatches(ctx, l, enc),
		Checkpoints: t.Checkpoints, Metrics: t.Metrics, Stopping: t.Stopping,
		Progress: func(done, total int64, note string) {
			t.Progress(Progress{Done: done, Total: total, Unit: "steps", Note: note})
		},
		Planned: func(m training.Memory) { t.Log.Info("memory of the training, predicted", "peak", m.String()) },
	}
	result, err := loop.Run(ctx)
	if err != nil {
		return trainingError(err)
	}
	w, err := m.Weights()
	if err != nil {
		return err
	}
	out, err := saveModel(ctx, t, w, tok)
	if err != nil {
		return err
	}
	t.Output("model", out)
	for _, name := range []string{training.LossKey, "itc", "itm", "itm_accuracy", "lm"} {
		if v, ok := result.Metrics[name]; ok {
			t.Metric(name, v)
		}
	}
	t.Metric("steps", float64(result.Steps))
	return nil
}

// closer is an objective whose graphs can be freed.
type closer interface {
	training.Objective
	Close() error
}

func newObjective(p fitParams, m *model.Model, epoch int64) (closer, error) {
	if p.Objective == "clip" {
		return objective.NewCLIP(m, objective.Plan{Batch: p.Batch})
	}
	o := objective.DefaultBLIP(p.Batch)
	o.ITC, o.ITM, o.LM = p.ITC, p.ITM, p.LM
	o.Queue, o.Smoothing, o.Seed, o.AlphaSteps = p.Queue*p.Batch, p.Smoothing, p.Seed, 2*epoch
	return objective.NewBLIP(m, o)
}

// trainingError classes what a loop returns.
func trainingError(err error) error {
	var diverged *training.DivergedError
	var memory *training.MemoryError
	switch {
	case errors.As(err, &memory):
		return &permanent{"OutOfMemory", err}
	case errors.Is(err, training.ErrStopped):
		return fmt.Errorf("%w: %w", ErrStopped, err)
	case errors.As(err, &diverged):
		return &permanent{"Diverged", err}
	case errors.Is(err, training.ErrOtherConfig):
		return &permanent{"CorruptCheckpoint", err}
	}
	return err
}
