package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

// tuneParams are what every kind that goes on training a language model by rows
// has in common.
type tuneParams struct {
	Steps  int64   `json:"steps" doc:"Optimiser steps instead of epochs; 0: as many as epochs take." min:"0"`
	Epochs float64 `json:"epochs" doc:"How often the data is gone through." above:"0"`
	loopParams
	LoRA    *model.LoRA `json:"lora,omitempty" doc:"Trains low-rank changes of the layers that targets name, text.blocks.* where it is left out, instead of all parameters: rank, alpha (twice the rank where left out), targets."`
	Freeze  []string    `json:"freeze,omitempty" doc:"Of a vision-language model: parts that are not trained." enum:"vision,projector,text"`
	Adapter string      `json:"adapter" doc:"lora: merged puts the changes into the weights of the model that is published, kept leaves them beside the weights." enum:"merged,kept"`
}

func defaultTune() tuneParams {
	p := tuneParams{Epochs: 1, loopParams: defaultLoop(), Adapter: "merged"}
	p.LearningRate, p.Decay, p.Floor = 1e-3, 0, 0.1
	return p
}

// faults are those that no single field shows. The batch is in rows, pairs or
// whatever the kind counts.
func (p tuneParams) faults(batch int) []error {
	faults := p.spreadFaults(batch)
	if p.EvaluateEvery > 0 && p.Steps > 0 && p.EvaluateEvery > p.Steps {
		faults = append(faults, fmt.Errorf("evaluate_every is %d, more than the %d steps: lower it, or give 0 for a tenth", p.EvaluateEvery, p.Steps))
	}
	return append(faults, p.Spike.options().Validate())
}

// stepsOf is how long a training is whose epoch has so many steps.
func (p tuneParams) stepsOf(epoch int64) int64 {
	if p.Steps > 0 {
		return p.Steps
	}
	return max(1, int64(p.Epochs*float64(epoch)+0.5))
}

// tuning is a language model that is being trained on.
type tuning struct {
	task   *Task
	params tuneParams
	source artifact.Artifact
	from   *loadedModel
	dev    *compute
	model  *model.Model
	retina *retina // nil: the model sees nothing
}

// tuneOptions say what is asked of the model.
type tuneOptions struct {
	change func(c *model.Config) // of its configuration, before LoRA is added; nil: none
}

// openTuning loads the model of the port model.
func openTuning(ctx context.Context, t *Task, p tuneParams, o tuneOptions) (_ *tuning, err error) {
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, err
	}
	w, err := tunable(from.weights, p, o)
	if err != nil {
		return nil, err
	}
	dev, err := newCompute(t)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(dev.backend, w)
	if err == nil {
		err = Invalid(m.Freeze(p.Freeze...))
	}
	if err != nil {
		dev.close()
		return nil, err
	}
	u := &tuning{task: t, params: p, source: source, from: from, dev: dev, model: m}
	if u.retina, err = newRetina(m.Config); err != nil {
		dev.close()
		return nil, Invalid(err)
	}
	return u, nil
}

// tunable is the weights that training starts from. An adapter of the model's own
// is merged first.
func tunable(w *model.Weights, p tuneParams, o tuneOptions) (*model.Weights, error) {
	if err := textModel(w.Config); err != nil {
		return nil, err
	}
	if w.Config.LoRA != nil {
		merged, err := w.Merge()
		if err != nil {
			return nil, err
		}
		w = merged
	}
	c := w.Config
	if o.change != nil {
		o.change(&c)
	}
	if p.LoRA != nil {
		lora := *p.LoRA
		if c.Score != nil {
			lora.Train = append(lora.Train, "score.*")
		}
		c.LoRA = &lora
	}
	out, err := w.Extend(c, p.Seed)
	return out, Invalid(err)
}

// textModel refuses models that write no text of their own: rows cannot train them.
func textModel(c model.Config) error {
	if c.Kind == model.LM || c.Kind == model.VLM {
		return nil
	}
	return Invalid(fmt.Errorf("the model is of kind %s: this kind of stage takes models of kinds %s and %s", c.Kind, model.LM, model.VLM))
}

// encoder turns rows into tokens for the model.
func (u *tuning) encoder(ctx context.Context, o chat.Options) (*chat.Encoder, error) {
	o.Longest = u.model.Config.Text.Context
	return ChatEncoder(ctx, u.task.Store, u.from.files, u.model.Config, o)
}

// publish makes the trained model the output of the stage.
func (u *tuning) publish(ctx context.Context) error {
	w, err := u.model.Weights()
	if err != nil {
		return err
	}
	if w.Config.LoRA != nil && u.params.Adapter == "merged" {
		if w, err = w.Merge(); err != nil {
			return err
		}
	}
	file, err := u.from.files.Find(tokenizerFile)
	if err != nil {
		return Invalid(err)
	}
	out, err := saveModel(ctx, u.task, w, file)
	if err != nil {
		return err
	}
	u.task.Output("model", out)
	return nil
}

func (u *tuning) close() { u.dev.close() }

// namedRows is how many rows that are left out are named; the others are counted.
const namedRows = 5

// takeRows gives the rows of a port to take, artifact by artifact in order. Rows
// that it refuses are left out: counted, and the first ones named with what is
// wrong. That all are is an error.
func takeRows(ctx context.Context, t *Task, port string, take func(set int, x *example.Example) error) (taken int, err error) {
	left := 0
	var first error
	for set, a := range t.Inputs[port] {
		for x, err := range example.All(ctx, t.Store, a) {
			if err != nil {
				return taken, err
			}
			fault := take(set, x)
			if fault == nil {
				taken++
				continue
			}
			if left++; left <= namedRows {
				first = errors.Join(first, fault)
				t.Result.Quarantined = append(t.Result.Quarantined, stage.Quarantine{Item: x.ID, Reason: fault.Error()})
				t.Log.Warn("row is left out", "input", port, "row", x.ID, "source", x.Source, "error", fault)
			}
		}
	}
	if left > 0 {
		t.Metric(port+"_left_out", float64(left))
	}
	if taken == 0 && len(t.Inputs[port]) > 0 {
		return 0, Invalid(fmt.Errorf("input %s has no row that can be used, of %d: %w", port, left, first))
	}
	return taken, nil
}

// wrongForm refuses a row that is for something else.
func wrongForm(x *example.Example, want ...example.Form) error {
	return fmt.Errorf("row %s has the form %q, want one of %q", x.ID, x.Form(), want)
}
