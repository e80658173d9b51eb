package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/loader"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
)

// fitParams are the parameters of every training.
type fitParams struct {
	Objective goalName `json:"objective" doc:"What is learned: lm (the next token of text), clip and siglip (which image and text belong together), blip (that, matching and captioning), captioning (its decoder alone), vlm (to write the text of an image that stands in it)."`
	Steps     int64    `json:"steps" doc:"Optimiser steps." min:"1"`
	Minutes   float64  `json:"minutes" doc:"Minutes of training instead of steps, which are then decided after the first ones; 0 trains for steps." min:"0"`
	Batch     int      `json:"batch" doc:"Pairs of a step; of lm, rows of the context." min:"1"`
	loopParams
	Weights []float64  `json:"weights,omitempty" doc:"Share of each data set in the samples, in the order of the input; absent means by their sizes." above:"0"`
	Packing string     `json:"packing" doc:"lm: how documents share a row. separate: none sees another; joined: one stream cut into rows, a little faster." enum:"separate,joined"`
	Lengths []int      `json:"lengths,omitempty" doc:"Of pairs: token counts, rising; a step whose texts fit one is computed at that length instead of the context's." min:"1"`
	Stages  []fitStage `json:"stages,omitempty" doc:"A curriculum: stages of the one training, in order; what a stage leaves out is as above."`

	ITC       float64        `json:"itc" doc:"blip: weight of image-text contrast." min:"0"`
	ITM       float64        `json:"itm" doc:"blip: weight of image-text matching with hard negatives." min:"0"`
	LM        float64        `json:"lm" doc:"blip: weight of captioning." min:"0"`
	Queue     int            `json:"queue" doc:"blip: batches of momentum features to contrast with besides the batch; 0 contrasts within the batch, without momentum encoders." min:"0"`
	Smoothing float64        `json:"smoothing" doc:"blip, captioning: label smoothing of captions." min:"0" below:"1"`
	Augment   loader.Augment `json:"augment" doc:"Random changes of the training images."`

	Prompt string   `json:"prompt,omitempty" doc:"vlm: text between image and caption, which is not learned."`
	Freeze []string `json:"freeze,omitempty" doc:"vlm: parts that are not trained. Of LLaVA's two stages, the first freezes vision and text, the second vision." enum:"vision,projector,text"`
	Native int      `json:"native,omitempty" doc:"vlm of the vision form moonvit: images keep their shapes, with at most so many patches; 0 makes squares of them." min:"0"`
}

// fitStage is a stage of a curriculum.
type fitStage struct {
	Steps        int64     `json:"steps" doc:"Steps of the stage; 0, of the last one: the rest." min:"0"`
	Weights      []float64 `json:"weights,omitempty" doc:"Share of each data set." above:"0"`
	Context      int       `json:"context,omitempty" doc:"lm: tokens of a row, at most the model's context." min:"0"`
	Batch        int       `json:"batch,omitempty" doc:"lm: rows of a step." min:"0"`
	LearningRate float64   `json:"learning_rate,omitempty" doc:"Peak learning rate: scales the schedule of the whole training." min:"0"`
}

// Validate reports what no single field shows.
func (p fitParams) Validate() error {
	var faults []error
	if g, ok := findGoal(p.Objective); ok && g.check != nil {
		faults = append(faults, g.check(p)...)
	}
	var batches []int
	for _, st := range p.syllabus().stages {
		batches = append(batches, st.Batch)
	}
	faults = append(faults, p.spreadFaults(batches...)...)
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
		Objective: "blip", Steps: 500, Batch: 64, loopParams: defaultLoop(), Packing: "separate",
		ITC: 1, ITM: 1, LM: 1, Queue: 8, Smoothing: 0.1,
	}
}

// plan says how a step is computed.
func (p fitParams) plan() objective.Plan {
	return objective.Plan{Batch: p.Batch, Accumulate: p.parts(), Checkpoint: p.Recompute, Lengths: p.Lengths}
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

// fit trains the model on the input data and publishes it.
func fit(ctx context.Context, j *job) (err error) {
	l, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := (course{j.task, j.params.loopParams, j.model, l}).run(ctx); err != nil {
		return err
	}
	_, err = j.publish(ctx)
	return err
}

// open makes the lesson of the job's objective and data.
func (j *job) open(ctx context.Context) (*lesson, error) {
	p := j.params
	g, ok := findGoal(p.Objective)
	if !ok {
		return nil, Invalid(fmt.Errorf("there is no objective %q", p.Objective))
	}
	if err := g.accepts(j.task); err != nil {
		return nil, err
	}
	l, err := g.open(ctx, j)
	if err != nil {
		return nil, err
	}
	l.steps, l.minutes, l.rate = p.Steps, p.Minutes, p.syllabus().rate(p)
	l.shown = []string{"itc", "itm", "itm_accuracy", "lm"}
	return l, nil
}

// publish makes the job's model the output of the stage.
func (j *job) publish(ctx context.Context) (artifact.Artifact, error) {
	w, err := j.model.Weights()
	if err != nil {
		return artifact.Artifact{}, err
	}
	out, err := saveModel(ctx, j.task, w, j.tokenizer)
	if err != nil {
		return artifact.Artifact{}, err
	}
	j.task.Output("model", out)
	return out, nil
}
