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
	"tempera/workflows/stage"
)

// fitParams are the parameters of every training.
type fitParams struct {
	Objective    goalName   `json:"objective" doc:"What is learned: lm (the next token of text), clip and siglip (which image and text belong together), blip (that, matching and captioning), captioning (its decoder alone), vlm (to write the text of an image that stands in it)."`
	Steps        int64      `json:"steps" doc:"Optimiser steps." min:"1"`
	Minutes      float64    `json:"minutes" doc:"Minutes of training instead of steps, which are then decided after the first ones; 0 trains for steps." min:"0"`
	Batch        int        `json:"batch" doc:"Pairs of a step; of lm, rows of the context." min:"1"`
	LearningRate float64    `json:"learning_rate" doc:"Peak learning rate; it falls along a cosine." above:"0"`
	WarmUp       int64      `json:"warm_up" doc:"Steps of linear warm-up; at most a tenth of the steps is used." min:"0"`
	Optimizer    string     `json:"optimizer" doc:"What turns gradients into updates: adamw, or muon for the matrices of blocks, which takes the same rate and decay." enum:"adamw,muon"`
	Floor        float64    `json:"floor" doc:"Share of the peak that the learning rate falls to." min:"0" max:"1"`
	Decay        float64    `json:"decay" doc:"Decoupled weight decay of matrices." min:"0"`
	ClipNorm     float64    `json:"clip_norm" doc:"Largest norm of the gradient." above:"0"`
	Seed         uint64     `json:"seed" doc:"Seed of the initial weights, of the order of the data and of every draw."`
	Weights      []float64  `json:"weights,omitempty" doc:"Share of each data set in the samples, in the order of the input; absent means by their sizes." above:"0"`
	Packing      string     `json:"packing" doc:"lm: how documents share a row. separate: none sees another; joined: one stream cut into rows, a little faster." enum:"separate,joined"`
	Accumulate   int        `json:"accumulate" doc:"Parts that a step is split into, to need the memory of one only; the result is that of the whole batch." min:"1"`
	Recompute    bool       `json:"recompute" doc:"Computes what is within a layer again instead of keeping it: less memory, a third more time."`
	Lengths      []int      `json:"lengths,omitempty" doc:"Of pairs: token counts, rising; a step whose texts fit one is computed at that length instead of the context's." min:"1"`
	MemoryLimit  int64      `json:"memory_limit,omitempty" doc:"MiB that the training may need, as predicted before it starts; 0: four fifths of the machine's." min:"0"`
	Stages       []fitStage `json:"stages,omitempty" doc:"A curriculum: stages of the one training, in order; what a stage leaves out is as above."`

	ITC       float64        `json:"itc" doc:"blip: weight of image-text contrast." min:"0"`
	ITM       float64        `json:"itm" doc:"blip: weight of image-text matching with hard negatives." min:"0"`
	LM        float64        `json:"lm" doc:"blip: weight of captioning." min:"0"`
	Queue     int            `json:"queue" doc:"blip: batches of momentum features to contrast with besides the batch; 0 contrasts within the batch, without momentum encoders." min:"0"`
	Smoothing float64        `json:"smoothing" doc:"blip, captioning: label smoothing of captions." min:"0" below:"1"`
	Augment   loader.Augment `json:"augment" doc:"Random changes of the training images."`

	Prompt string   `json:"prompt,omitempty" doc:"vlm: text between image and caption, which is not learned."`
	Freeze []string `json:"freeze,omitempty" doc:"vlm: parts that are not trained. Of LLaVA's two stages, the first freezes vision and text, the second vision." enum:"vision,projector,text"`
	Native int      `json:"native,omitempty" doc:"vlm of the vision form moonvit: images keep their shapes, with at most so many patches; 0 makes squares of them." min:"0"`

	EvaluateEvery   int64     `json:"evaluate_every" doc:"Steps between evaluations on held_out, where it is given; 0: a tenth of the steps." min:"0"`
	EvaluateBatches int       `json:"evaluate_batches" doc:"Most batches of such an evaluation." min:"1"`
	Patience        int       `json:"patience" doc:"Evaluations in a row without a better score that end the training; 0: none do." min:"0"`
	Keep            string    `json:"keep" doc:"Which parameters become the model: the last, or those with the best score on held_out." enum:"last,best"`
	Spike           *fitSpike `json:"spike,omitempty" doc:"Goes back where loss or gradient jump, and leaves the batches around it out; absent: they are let through."`
	NotFinite       string    `json:"not_finite" doc:"What a loss or gradient that is no number does: it ends the training with an error, or the step is left out (ten in a row are an error still)." enum:"error,skip"`
	Checkpoint      float64   `json:"checkpoint_seconds" doc:"Seconds between checkpoints: what a crash costs at most." above:"0"`
}

// fitStage is a stage of a curriculum.
type fitStage struct {
	Steps        int64     `json:"steps" doc:"Steps of the stage; 0, of the last one: the rest." min:"0"`
	Weights      []float64 `json:"weights,omitempty" doc:"Share of each data set." above:"0"`
	Context      int       `json:"context,omitempty" doc:"lm: tokens of a row, at most the model's context." min:"0"`
	Batch        int       `json:"batch,omitempty" doc:"lm: rows of a step." min:"0"`
	LearningRate float64   `json:"learning_rate,omitempty" doc:"Peak learning rate: scales the schedule of the whole training." min:"0"`
}

// fitSpike are training.SpikeOptions.
type fitSpike struct {
	Window int     `json:"window,omitempty" doc:"Steps that a step is compared with; 64 where left out." min:"0"`
	Factor float64 `json:"factor,omitempty" doc:"A spike is above their median by so many median absolute deviations; 12 where left out." min:"0"`
	Every  int64   `json:"every,omitempty" doc:"Steps between the states that a spike leads back to, and between checkpoints at least; 50 where left out." min:"0"`
	Skip   int64   `json:"skip,omitempty" doc:"Batches that are left out, half of them before the spike; 16 where left out." min:"0"`
	Most   int     `json:"most,omitempty" doc:"Spikes that are rewound; later ones are let through; 5 where left out." min:"0"`
}

// Validate reports what no single field shows.
func (p fitParams) Validate() error {
	var faults []error
	if g, ok := findGoal(p.Objective); ok && g.check != nil {
		faults = append(faults, g.check(p)...)
	}
	for _, st := range p.syllabus().stages {
		if st.Batch%max(1, p.Accumulate) != 0 {
			faults = append(faults, fmt.Errorf("a batch is %d, no multiple of accumulate (%d): change one of them", st.Batch, p.Accumulate))
		}
	}
	if p.EvaluateEvery > 0 && p.Minutes == 0 && p.EvaluateEvery > p.Steps {
		faults = append(faults, fmt.Errorf("evaluate_every is %d, more than the %d steps: lower it, or give 0 for a tenth", p.EvaluateEvery, p.Steps))
	}
	faults = append(faults, p.foreign()...)
	if err := p.Spike.options().Validate(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(append(faults, p.syllabus().validate(p), p.Augment.Validate())...)
}

// foreign are the faults of parameters that are given and that the objective does not take.
func (p fitParams) foreign() []error {
	var faults []error
	for _, f := range []struct {
		given, wrong bool
		what         string
	}{
		{p.Prompt != "", p.Objective != vlmGoalName, "prompt is for objective vlm"},
		{len(p.Freeze) > 0, p.Objective != vlmGoalName, "freeze is for objective vlm"},
		{p.Native > 0, p.Objective != vlmGoalName, "native is for objective vlm"},
		{len(p.Lengths) > 0, p.Objective == lmGoalName, "lengths is for pairs: the rows of lm are packed full"},
	} {
		if f.given && f.wrong {
			faults = append(faults, fmt.Errorf("%s: leave it out", f.what))
		}
	}
	if err := (objective.Plan{Batch: 1, Lengths: p.Lengths}).Validate(); err != nil {
		faults = append(faults, err)
	}
	return faults
}

func defaultFit() fitParams {
	return fitParams{
		Objective: "blip", Steps: 500, Batch: 64, LearningRate: 2e-3, WarmUp: 50, Optimizer: "adamw", Decay: 0.1, ClipNorm: 1, Packing: "separate", Accumulate: 1,
		ITC: 1, ITM: 1, LM: 1, Queue: 8, Smoothing: 0.1, EvaluateBatches: 16, Keep: "last", NotFinite: "error", Checkpoint: 10,
	}
}

// plan says how a step is computed.
func (p fitParams) plan() objective.Plan {
	return objective.Plan{Batch: p.Batch, Accumulate: p.Accumulate, Checkpoint: p.Recompute, Lengths: p.Lengths}
}

// sight is how a vlm is shown images.
func (p fitParams) sight() sight { return sight{native: p.Native, prompt: p.Prompt} }

// job is one training.
type job struct {
	task      *Task
	params    fitParams
	model     *model.Model
	encoder   *captionEncoder
	tokenizer artifact.File // tokenizer.json
}

// lesson is what a goal makes of a job: what is computed, on what data.
type lesson struct {
	objective closer
	batches   training.Batches
	batch     int // samples of a step
	// evaluate measures the model on the held-out data; nil where there is none.
	evaluate func(context.Context) (training.Metrics, error)
	score    string // the metric of evaluate that tells which model is the best
	lower    bool   // the least score wins
	// epochs is how often each data set has been gone through after a number of steps.
	epochs func(steps int64) []float64
	close  func() error
}

// closer is an objective whose graphs can be freed.
type closer interface {
	training.Objective
	Close() error
}

// fit trains the model on the input data and publishes it.
func fit(ctx context.Context, j *job) (err error) {
	t, p := j.task, j.params
	g, ok := findGoal(p.Objective)
	if !ok {
		return Invalid(fmt.Errorf("there is no objective %q", p.Objective))
	}
	if err := g.accepts(t); err != nil {
		return err
	}
	l, err := g.open(ctx, j)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	loop, err := j.loop(l)
	if err != nil {
		return err
	}
	result, err := loop.Run(ctx)
	if err != nil {
		return trainingError(err)
	}
	w, err := j.model.Weights()
	if err != nil {
		return err
	}
	out, err := saveModel(ctx, t, w, j.tokenizer)
	if err != nil {
		return err
	}
	t.Output("model", out)
	j.report(result, l)
	return nil
}

func (j *job) loop(l *lesson) (*training.Loop, error) {
	t, p := j.task, j.params
	adam := optim.DefaultOptions()
	adam.Method, adam.Decay, adam.Clip = optim.Method(p.Optimizer), p.Decay, p.ClipNorm
	c := training.Config{
		Steps: p.Steps, Minutes: p.Minutes, BatchSize: l.batch, Seed: p.Seed, AdamW: adam, Digest: t.Key,
		Schedule:        optim.Schedule{Peak: p.LearningRate, Warmup: min(p.WarmUp, p.Steps/10), Floor: p.Floor},
		CheckpointEvery: time.Duration(p.Checkpoint * float64(time.Second)),
		Spike:           p.Spike.options(), DropNotFinite: p.NotFinite == "skip", MemoryLimit: p.MemoryLimit << 20,
	}
	if p.Minutes > 0 {
		c.Steps, c.Schedule.Warmup = 0, p.WarmUp
	}
	loop := &training.Loop{
		Config: c, Backend: j.model.Backend(), Objective: l.objective, Batches: l.batches, RateShare: p.syllabus().rate(p),
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
		Every: p.evaluateEvery(), Run: l.evaluate, Score: l.score, LowerWins: l.lower, Patience: p.Patience, KeepBest: p.Keep == "best",
	}
	return loop, nil
}

// evaluateEvery resolves the interval of evaluations. With a budget of time the
// steps are not known: every hundred of them.
func (p fitParams) evaluateEvery() int64 {
	switch {
	case p.EvaluateEvery > 0:
		return p.EvaluateEvery
	case p.Minutes > 0:
		return 100
	}
	return max(1, p.Steps/10)
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

// report puts what the loop found into the result of the stage.
func (j *job) report(r training.Result, l *lesson) {
	t := j.task
	for _, name := range []string{training.LossKey, "itc", "itm", "itm_accuracy", "lm"} {
		if v, ok := r.Metrics[name]; ok {
			t.Metric(name, v)
		}
	}
	found := r.Latest
	if j.params.Keep == "best" {
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
	switch {
	case errors.As(err, &memory):
		return &permanent{"OutOfMemory", err}
	case errors.Is(err, training.ErrStopped):
		return fmt.Errorf("%w: %w", ErrStopped, err)
	case errors.As(err, &diverged):
		return &permanent{"Diverged", err}
	case errors.As(err, &data):
		return Invalid(err)
	case errors.Is(err, training.ErrOtherConfig):
		return &permanent{"CorruptCheckpoint", err}
	}
	return err
}
