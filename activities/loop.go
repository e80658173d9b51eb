package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tempera/training"
	"tempera/training/model"
	"tempera/training/optim"
	"tempera/workflows/stage"
)

// loopParams are what every kind that trains has in common, whatever it learns.
type loopParams struct {
	deviceParams
	LearningRate float64 `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine." above:"0"`
	WarmUp       int64   `json:"warm_up" doc:"Steps of linear warm-up; at most a tenth of the steps is used." min:"0"`
	Optimizer    string  `json:"optimizer" doc:"What turns gradients into updates: adamw, or muon for the matrices of blocks, which takes the same rate and decay." enum:"adamw,muon"`
	Floor        float64 `json:"floor" doc:"Share of the peak that the learning rate falls to." min:"0" max:"1"`
	Decay        float64 `json:"decay" doc:"Decoupled weight decay of matrices." min:"0"`
	ClipNorm     float64 `json:"clip_norm" doc:"Largest norm of the gradient." above:"0"`
	Seed         uint64  `json:"seed" doc:"Seed of the initial weights, of the order of the data and of every draw."`
	Devices      int     `json:"devices,omitempty" doc:"GPUs of one worker that share every step, each a part of its batch; left out: 1. The result is that of one, up to rounding." min:"0"`
	Accumulate   int     `json:"accumulate" doc:"Parts that a step is split into, to need the memory of one only; the result is that of the whole batch." min:"1"`
	Recompute    bool    `json:"recompute" doc:"Computes what is within a layer again instead of keeping it: less memory, a third more time."`
	MemoryLimit  int64   `json:"memory_limit,omitempty" doc:"MiB that the training may need, as predicted before it starts; 0: four fifths of the machine's, or what is free of the GPU's." min:"0"`

	EvaluateEvery   int64     `json:"evaluate_every" doc:"Steps between evaluations on held_out, where it is given; 0: a tenth of the steps." min:"0"`
	EvaluateBatches int       `json:"evaluate_batches" doc:"Most batches of such an evaluation." min:"1"`
	Patience        int       `json:"patience" doc:"Evaluations in a row without a better score that end the training; 0: none do." min:"0"`
	Keep            string    `json:"keep" doc:"Which parameters become the model: the last, or those with the best score on held_out." enum:"last,best"`
	Spike           *fitSpike `json:"spike,omitempty" doc:"Goes back where loss or gradient jump, and leaves the batches around it out; absent: they are let through."`
	NotFinite       string    `json:"not_finite" doc:"What a loss or gradient that is no number does: it ends the training with an error, or the step is left out (ten in a row are an error still)." enum:"error,skip"`
	Checkpoint      float64   `json:"checkpoint_seconds" doc:"Seconds between checkpoints: what a crash costs at most." above:"0"`
}

func defaultLoop() loopParams {
	return loopParams{
		LearningRate: 2e-3, WarmUp: 50, Optimizer: "adamw", Decay: 0.1, ClipNorm: 1, Accumulate: 1,
		EvaluateBatches: 16, Keep: "last", NotFinite: "error", Checkpoint: 10,
	}
}

// lesson is what a training is made of: what is computed, on what data, for how
// long.
type lesson struct {
	objective closer
	batches   training.Batches
	batch     int     // samples of a step
	steps     int64   // of the training
	minutes   float64 // instead of steps; 0: none
	rate      func(step int64) float64
	// evaluate measures the model on the held-out data; nil where there is none.
	evaluate func(context.Context) (training.Metrics, error)
	score    string // the metric of evaluate that tells which model is the best
	lower    bool   // the least score wins
	shown    []string
	// epochs is how often each data set has been gone through after a number of steps.
	epochs func(steps int64) []float64
	close  func() error
}

// closer is an objective whose graphs can be freed.
type closer interface {
	training.Objective
	Close() error
}

// course is a training that is about to begin.
type course struct {
	task   *Task
	params loopParams
	model  *model.Model
	lesson *lesson
}

// run trains the model, from the newest checkpoint on, and puts what it found into the result of the stage.
func (c course) run(ctx context.Context) error {
	loop, err := c.loop()
	if err != nil {
		return err
	}
	result, err := loop.Run(ctx)
	if err != nil {
		return trainingError(err)
	}
	c.report(result)
	return nil
}

func (c course) loop() (*training.Loop, error) {
	t, p, l := c.task, c.params, c.lesson
	adam := optim.DefaultOptions()
	adam.Method, adam.Decay, adam.Clip = optim.Method(p.Optimizer), p.Decay, p.ClipNorm
	config := training.Config{
		Steps: l.steps, Minutes: l.minutes, BatchSize: l.batch, Seed: p.Seed, AdamW: adam, Digest: t.Key,
		Schedule:        optim.Schedule{Peak: p.LearningRate, Warmup: min(p.WarmUp, l.steps/10), Floor: p.Floor},
		CheckpointEvery: time.Duration(p.Checkpoint * float64(time.Second)),
		Spike:           p.Spike.options(), DropNotFinite: p.NotFinite == "skip", MemoryLimit: p.MemoryLimit << 20,
	}
	if l.minutes > 0 {
		config.Steps, config.Schedule.Warmup = 0, p.WarmUp
	}
	loop := &training.Loop{
		Config: config, Backend: c.model.Backend(), Objective: l.objective, Batches: l.batches, RateShare: l.rate,
		Checkpoints: t.Checkpoints, Metrics: t.Metrics, Stopping: t.Stopping,
		Progress: func(done, total int64, note string) {
			t.Progress(Progress{Done: done, Total: total, Unit: "steps", Note: note})
		},
		Planned: func(m training.Memory) { t.Log.Info("memory of the training, predicted", "peak", m.String()) },
	}
	if l.evaluate == nil {
		if p.Patience > 0 || p.Keep == "best" {
			return nil, Invalid(errors.New("patience and keep: best need held_out: give that input"))
		}
		return loop, nil
	}
	loop.Evaluation = &training.Evaluation{
		Every: c.evaluateEvery(), Run: l.evaluate, Score: l.score, LowerWins: l.lower, Patience: p.Patience, KeepBest: p.Keep == "best",
	}
	return loop, nil
}

// evaluateEvery resolves the interval of evaluations. With a budget of time the
// steps are not known: every hundred of them.
func (c course) evaluateEvery() int64 {
	switch {
	case c.params.EvaluateEvery > 0:
		return c.params.EvaluateEvery
	case c.lesson.minutes > 0:
		return 100
	}
	return max(1, c.lesson.steps/10)
}

// report puts what the loop found into the result of the stage.
func (c course) report(r training.Result) {
	t, l := c.task, c.lesson
	for _, name := range append([]string{training.LossKey}, l.shown...) {
		if v, ok := r.Metrics[name]; ok {
			t.Metric(name, v)
		}
	}
	found := r.Latest
	if c.params.Keep == "best" {
		found = r.Best
		t.Metric("best_step", float64(r.BestStep))
	}
	for name, v := range found {
		t.Metric(name, v)
	}
	t.Metric("steps", float64(r.Steps))
	for i, n := range l.epochs(r.Steps) {
		name := "epochs"
		if i > 0 {
			name = fmt.Sprintf("epochs_%d", i)
		}
		t.Metric(name, n)
	}
	if r.Dropped > 0 {
		t.Metric("dropped", float64(r.Dropped))
	}
	for _, s := range r.Rewinds {
		t.Result.Quarantined = append(t.Result.Quarantined, stage.Quarantine{Item: fmt.Sprintf("batches %d to %d", s.First, s.Last), Reason: s.String()})
	}
	if n := len(r.Rewinds); n > 0 {
		t.Metric("rewinds", float64(n))
	}
}

// trainingError classes what a loop returns.
func trainingError(err error) error {
	var diverged *training.DivergedError
	var data *training.DataError
	var memory *training.MemoryError
	var exploded *training.ExplodedError
	var final *training.FinalError
	switch {
	case errors.As(err, &memory):
		return &permanent{stage.OutOfMemory, err}
	case errors.Is(err, training.ErrStopped):
		return fmt.Errorf("%w: %w", ErrStopped, err)
	case errors.As(err, &diverged), errors.As(err, &exploded):
		return &permanent{"Diverged", err}
	case errors.As(err, &final):
		return &permanent{"CannotLearn", err}
	case errors.As(err, &data):
		return Invalid(err)
	case errors.Is(err, training.ErrOtherConfig):
		return &permanent{"CorruptCheckpoint", err}
	}
	return err
}

// fitSpike are training.SpikeOptions.
type fitSpike struct {
	Window int     `json:"window,omitempty" doc:"Steps that a step is compared with; 64 where left out." min:"0"`
	Factor float64 `json:"factor,omitempty" doc:"A spike is above their median by so many median absolute deviations; 12 where left out." min:"0"`
	Every  int64   `json:"every,omitempty" doc:"Steps between the states that a spike leads back to, and between checkpoints at least; 50 where left out." min:"0"`
	Skip   int64   `json:"skip,omitempty" doc:"Batches that are left out, half of them before the spike; 16 where left out." min:"0"`
	Most   int     `json:"most,omitempty" doc:"Spikes that are rewound; later ones are let through; 5 where left out." min:"0"`
}

func (s *fitSpike) options() *training.SpikeOptions {
	if s == nil {
		return nil
	}
	o := training.DefaultSpikes()
	for _, d := range []struct{ to, from *int64 }{{&o.Every, &s.Every}, {&o.Skip, &s.Skip}} {
		if *d.from != 0 {
			*d.to = *d.from
		}
	}
	for _, d := range []struct{ to, from *int }{{&o.Window, &s.Window}, {&o.Most, &s.Most}} {
		if *d.from != 0 {
			*d.to = *d.from
		}
	}
	if s.Factor != 0 {
		o.Factor = s.Factor
	}
	return &o
}
