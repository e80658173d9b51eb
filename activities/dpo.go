package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
	"tempera/training/policy"
	"tempera/workflows/stage"
)

type dpoParams struct {
	tuneParams
	Loss      preferenceName `json:"loss" doc:"sigmoid (DPO), ipo, hinge (SLiC), kto (takes rows with a label too), orpo and simpo (without a reference)."`
	Batch     int            `json:"batch" doc:"Pairs of a step." min:"1"`
	Beta      float64        `json:"beta" doc:"How closely the reference is kept to: 0.1 for sigmoid, hinge, kto and orpo; of ipo its tau, of simpo the scale of its reward, 2." above:"0"`
	Smoothing float64        `json:"smoothing" doc:"sigmoid, simpo: share of the preferences that are taken to be the wrong way round." min:"0" below:"0.5"`
	Gamma     float64        `json:"gamma" doc:"simpo: by how much the reward of the chosen completion should be ahead." min:"0"`
	Desirable float64        `json:"desirable" doc:"kto: weight of chosen completions." min:"0"`
	Undesired float64        `json:"undesired" doc:"kto: weight of rejected completions." min:"0"`
}

// preferenceName is the name of a loss as a parameter.
type preferenceName string

// Words is part of stage.Enumerated.
func (preferenceName) Words() []string {
	var names []string
	for _, p := range policy.Preferences() {
		names = append(names, p.Name)
	}
	return names
}

func (p dpoParams) options() policy.PreferenceOptions {
	return policy.PreferenceOptions{Beta: p.Beta, Smoothing: p.Smoothing, Gamma: p.Gamma, Desirable: p.Desirable, Undesired: p.Undesired}
}

// Validate reports what no single field shows.
func (p dpoParams) Validate() error {
	faults := append(p.faults(p.Batch), p.options().Validate())
	if l, ok := policy.FindPreference(string(p.Loss)); ok && l.Mismatched {
		if p.Accumulate > 1 {
			faults = append(faults, fmt.Errorf("the loss %s looks at a whole batch: set accumulate to 1", p.Loss))
		}
		faults = append(faults, p.wholeFaults("the loss "+string(p.Loss))...)
	}
	return errors.Join(faults...)
}

// dpo trains a language model to prefer what people, or a judge, preferred.
func dpo() Kind {
	p := dpoParams{tuneParams: defaultTune(), Loss: "sigmoid", Batch: 32, Beta: 0.1, Desirable: 1, Undesired: 1}
	p.LearningRate, p.WarmUp = 5e-4, 20
	return define(stage.Descriptor{
		Name: "dpo", Version: 1, Queue: stage.CPU,
		Headline: []string{"accuracy", "reward_margin", "kl"},
		Summary:  "Train a language model on preferences, without a reward model",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Where to start from, which is also the reference."},
			{Name: "data", Type: artifact.TypeExamples, Many: true, Doc: "Preferences: prompt, chosen, rejected; of kto also prompt, completion, label."},
			{Name: "reference", Type: artifact.TypeReference, Optional: true, Doc: "Log-probabilities of the data under the model, by the kind reference; otherwise they are computed first."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Preferences that are not learned from: accuracy and margins on them are measured on the way."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, p, runDPO)
}

// preferring is a training on preferences.
type preferring struct {
	*tuning
	params dpoParams
	loss   policy.Preference
	reader preferenceReader
}

func runDPO(ctx context.Context, t *Task, p dpoParams) (err error) {
	u, err := openTuning(ctx, t, p.tuneParams, tuneOptions{})
	if err != nil {
		return err
	}
	defer u.close()
	loss, _ := policy.FindPreference(string(p.Loss)) // it is one of the words
	e, err := u.encoder(ctx, chat.Options{})
	if err != nil {
		return err
	}
	d := &preferring{tuning: u, params: p, loss: loss, reader: preferenceReader{encoder: e, retina: u.retina, mismatched: loss.Mismatched, labelled: loss.Mismatched}}
	l, err := d.lesson(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := (course{t, p.loopParams, u.model, l}).run(ctx); err != nil {
		return err
	}
	return u.publish(ctx)
}

// rows reads the rows of a port. They have their log-probabilities under the model,
// which has not been trained yet, where the loss compares with them.
func (d *preferring) rows(ctx context.Context, port string) (*spanRows, error) {
	rows, _, err := d.reader.read(ctx, d.task, port)
	if err != nil {
		return nil, err
	}
	s := &spanRows{rows: rows, config: d.model.Config, retina: d.retina, batch: d.params.Batch, parts: d.params.parts()}
	if !d.loss.Reference {
		return s, nil
	}
	s.extra = []string{objective.Reference}
	if a, ok := d.task.Input("reference"); ok && port == "data" {
		return s, s.takeReference(ctx, d.task, a, referenceMeta{Model: d.source.Digest, Mismatched: d.loss.Mismatched})
	}
	d.task.Log.Info("log-probabilities under the reference", "input", port, "rows", len(rows))
	return s, s.refer(ctx, d.model, func(done int) {
		d.task.Progress(Progress{Done: int64(done), Total: int64(len(rows)), Unit: "pairs", Note: "reference"})
	})
}

func (d *preferring) lesson(ctx context.Context) (_ *lesson, err error) {
	data, err := d.rows(ctx, "data")
	if err != nil {
		return nil, err
	}
	var held *spanRows
	if _, ok := d.task.Input("held_out"); ok { // before anything is trained: its reference is the model as it is
		if held, err = d.rows(ctx, "held_out"); err != nil {
			return nil, err
		}
	}
	l, err := data.follow(d.params.tuneParams)
	if err != nil {
		return nil, err
	}
	loss := objective.Preference(d.loss, d.params.options())
	o, all, err := parallel.Spread(d.task.Group, d.model, func(m *model.Model) (*objective.Spans, error) {
		return objective.NewSpans(m, objective.SpanOptions{
			Plan: objective.Plan{Batch: d.params.Batch, Accumulate: d.params.parts(), Checkpoint: d.params.Recompute},
			Loss: loss, Extra: data.extra, Unsplit: d.loss.Mismatched,
		}, data.shapes()...)
	})
	if err != nil {
		return nil, Invalid(err)
	}
	l.objective, l.close, l.score, l.lower = all, all.Close, "val_loss", true
	l.shown = []string{"accuracy", "margin", "reward_chosen", "reward_rejected", "kl", "chosen_tokens", "rejected_tokens"}
	if held == nil {
		return l, nil
	}
	r, err := held.reading(o.Scorer)
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	l.close = func() error { return errors.Join(r.scorer.Close(), all.Close()) }
	l.evaluate = r.measure(loss, d.params.EvaluateBatches*d.params.Batch, nil)
	return l, nil
}
