package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"

	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/checkpoint"
	"tempera/training/diloco"
	"tempera/training/model"
	"tempera/workflows/stage"
)

type averageParams struct {
	deviceParams
	Rate     float64 `json:"outer_lr" doc:"Learning rate of the outer step: the share of the replicas' mean move that is taken." above:"0"`
	Momentum float64 `json:"outer_momentum" doc:"Nesterov's momentum of the outer step; 0: none." min:"0" below:"1"`

	Objective       goalName `json:"objective" doc:"With held_out: what the model learns, and is measured by."`
	Batch           int      `json:"batch" doc:"With held_out: rows, or pairs, of a batch." min:"1"`
	EvaluateBatches int      `json:"evaluate_batches" doc:"With held_out: most batches." min:"1"`
	Seed            uint64   `json:"seed" doc:"With held_out, of lm: order of the documents."`
	Prompt          string   `json:"prompt,omitempty" doc:"With held_out, of vlm: text between image and caption."`
	Native          int      `json:"native,omitempty" doc:"With held_out, of vlm: most patches of an image that keeps its shape." min:"0"`
}

// fit are the parameters that a measurement takes.
func (p averageParams) fit() fitParams {
	f := defaultFit()
	f.Objective, f.Batch, f.EvaluateBatches, f.Seed, f.Prompt, f.Native = p.Objective, p.Batch, p.EvaluateBatches, p.Seed, p.Prompt, p.Native
	return f
}

// Validate reports what no single field shows.
func (p averageParams) Validate() error { return errors.Join(p.outer().Validate(), p.fit().Validate()) }

func (p averageParams) outer() diloco.Outer { return diloco.Outer{Rate: p.Rate, Momentum: p.Momentum} }

// average moves a model by what its replicas learned: the outer step of DiLoCo,
// see the package diloco.
func average() Kind {
	outer, fit := diloco.Default(), defaultFit()
	return define(stage.Descriptor{
		Name: "average", Version: 1, Queue: stage.CPU,
		Headline: []string{"loss", "bits_per_byte", "r1", "val_loss", "agreement"},
		Summary:  "Move a model by the mean of what its replicas learned",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What the replicas started from."},
			{Name: "replicas", Type: artifact.TypeModel, Many: true, Doc: "Their models, in their order."},
			{Name: "states", Type: artifact.TypeState, Many: true, Doc: "Their states, in the same order: what they tell is read, not the moments."},
			{Name: "state", Type: artifact.TypeState, Optional: true, Doc: "What the average of the round before left; absent in round 0."},
			{Name: "held_out", Type: dataTypes, Optional: true, Doc: "Data that is not learned from: the new model is measured on it."},
		},
		Outputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What the next round starts from."},
			{Name: "state", Type: artifact.TypeState, Doc: "Momentum and measurements, for the average of the next round."},
		},
	}, averageParams{
		Rate: outer.Rate, Momentum: outer.Momentum, Objective: lmGoalName, Batch: 16, EvaluateBatches: fit.EvaluateBatches,
	}, runAverage)
}

// The files of an average's state.
const (
	momentumFile = "momentum.safetensors"
	roundsFile   = "rounds.json"
)

// averageMeta is the Meta of an average's state.
type averageMeta struct {
	Model artifact.Digest `json:"model"` // the averaged one
	Round int64           `json:"round"`
}

// measuredRound is what is known of a round: its mean loss, and scores after it.
type measuredRound struct {
	Steps  int64            `json:"steps"` // that each replica has done
	Values training.Metrics `json:"values"`
}

// averaging is one execution.
type averaging struct {
	task     *Task
	params   averageParams
	model    *loadedModel // its values are moved in place
	replicas []replicaMeta
	velocity map[string][]float32
	rounds   []measuredRound
	drift    diloco.Drift
}

func runAverage(ctx context.Context, t *Task, p averageParams) error {
	from, err := inputModel(ctx, t)
	if err != nil {
		return err
	}
	a := &averaging{task: t, params: p, model: from, velocity: map[string][]float32{}}
	for _, step := range []func(context.Context) error{a.meet, a.recall, a.move, a.measure} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, r := range a.rounds { // all of them: the curve of the last round's stage is that of the training
		if err := t.Metrics.Write(r.Steps, r.Values); err != nil {
			return err
		}
	}
	for name, v := range a.rounds[len(a.rounds)-1].Values {
		t.Metric(name, v)
	}
	return a.publish(ctx)
}

// meet reads what the replicas tell, and holds them to one round of one model.
func (a *averaging) meet(ctx context.Context) error {
	start, _ := a.task.Input("model")
	models, states := a.task.Inputs["replicas"], a.task.Inputs["states"]
	if len(models) != len(states) {
		return Invalid(fmt.Errorf("there are %d replicas and %d states: give one state for each", len(models), len(states)))
	}
	for i, s := range states {
		_, meta, err := replicaState(ctx, a.task.Store, s)
		if err != nil {
			return err
		}
		a.replicas = append(a.replicas, meta)
		first := a.replicas[0]
		switch {
		case meta.Model != models[i].Digest:
			return Invalid(fmt.Errorf("state %d is that of model %s, replica %d is model %s: give both of one stage", i, meta.Model.Short(), i, models[i].Digest.Short()))
		case meta.Start != start.Digest:
			return Invalid(fmt.Errorf("replica %d started from model %s, not from %s: give the model that the round began with", i, meta.Start.Short(), start.Digest.Short()))
		case meta.Replica != int64(i) || meta.Replicas != int64(len(states)) || meta.Round != first.Round || meta.Steps != first.Steps:
			return Invalid(fmt.Errorf("input %d is replica %d of %d in round %d after %d steps: give all %d replicas of one round in their order",
				i, meta.Replica, meta.Replicas, meta.Round, meta.Steps, meta.Replicas))
		}
	}
	return nil
}

// recall reads momentum and measurements of the rounds before.
func (a *averaging) recall(ctx context.Context) (err error) {
	t, round := a.task, a.replicas[0].Round
	velocity := a.tensors(func(s model.Spec, n int) []float32 {
		a.velocity[s.Name] = make([]float32, n)
		return a.velocity[s.Name]
	})
	state, ok := t.Input("state")
	if !ok {
		if round > 0 {
			return Invalid(fmt.Errorf("the replicas are of round %d and there is no state: give that of the average of round %d", round, round-1))
		}
		return nil
	}
	m, err := artifact.LoadManifest(ctx, t.Store, state)
	if err != nil {
		return err
	}
	var meta averageMeta
	start, _ := t.Input("model")
	if err := json.Unmarshal(m.Meta, &meta); err != nil || meta.Model != start.Digest || meta.Round != round-1 {
		return Invalid(fmt.Errorf("state %s goes with model %s after round %d, the replicas of round %d started from %s: give model and state of one average",
			state.Digest.Short(), meta.Model.Short(), meta.Round, round, start.Digest.Short()))
	}
	if err := readJSONFile(ctx, t.Store, state, jsonFile{roundsFile, &a.rounds}); err != nil {
		return err
	}
	f, err := m.Find(momentumFile)
	if err != nil {
		return Invalid(err)
	}
	src, err := t.Store.Open(ctx, f.Digest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	stream, err := checkpoint.NewStream(src)
	if err != nil {
		return err
	}
	return stream.Fill(velocity)
}

// tensors are those of the momentum, with values for each parameter.
func (a *averaging) tensors(values func(s model.Spec, n int) []float32) []checkpoint.Tensor {
	var all []checkpoint.Tensor
	for _, s := range a.model.weights.Config.Params() {
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		all = append(all, checkpoint.Float32(s.Name, s.Shape, values(s, n)))
	}
	return all
}

// move takes the outer step, one parameter after the other.
func (a *averaging) move(ctx context.Context) (err error) {
	t, start := a.task, a.model.weights
	var files []*model.File
	for i, r := range t.Inputs["replicas"] {
		f, release, err := openModelFile(ctx, t, r)
		if err != nil {
			return err
		}
		defer release()
		if !reflect.DeepEqual(f.Config, start.Config) {
			return Invalid(fmt.Errorf("replica %d is another model than its start: their configurations differ", i))
		}
		files = append(files, f)
	}
	outer := a.params.outer()
	for _, s := range start.Config.Params() {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := diloco.Tensor{Name: s.Name, Velocity: a.velocity[s.Name]}
		if p.Start, err = start.Get(s.Name); err != nil {
			return err
		}
		p.Moved = p.Start
		for _, f := range files {
			v, err := f.Get(s.Name)
			if err != nil {
				return err
			}
			p.Replicas = append(p.Replicas, v)
		}
		d, err := outer.Move(p)
		if err != nil {
			return &permanent{"Diverged", err}
		}
		a.drift.Add(d)
	}
	return nil
}

// measure adds the round to those that are known.
func (a *averaging) measure(ctx context.Context) (err error) {
	first := a.replicas[0]
	round := measuredRound{first.Steps, training.Metrics{"outer_norm": a.drift.Norm(), "agreement": a.drift.Agreement()}}
	for _, r := range a.replicas {
		round.Values[training.LossKey] += r.Loss / float64(len(a.replicas))
		round.Values[training.TokensKey] += r.Tokens
	}
	if n := len(a.rounds); n > 0 {
		round.Values[training.TokensKey] += a.rounds[n-1].Values[training.TokensKey]
	}
	if held, ok := a.task.Input("held_out"); ok {
		scores, err := a.score(ctx, held)
		if err != nil {
			return err
		}
		maps.Copy(round.Values, scores)
	}
	a.rounds = append(a.rounds, round)
	return nil
}

// score measures the moved model on held-out data.
func (a *averaging) score(ctx context.Context, held artifact.Artifact) (_ training.Metrics, err error) {
	p := a.params.fit()
	g, ok := findGoal(p.Objective)
	if !ok {
		return nil, Invalid(fmt.Errorf("there is no objective %q", p.Objective))
	}
	if err := errors.Join(g.accepts(a.task), g.trains(a.model.weights.Config)); err != nil {
		return nil, err
	}
	file, err := a.model.tokenizerFile()
	if err != nil {
		return nil, err
	}
	m, err := a.model.deploy(a.task)
	if err != nil {
		return nil, err
	}
	defer m.close()
	v, err := g.validate(ctx, &job{task: a.task, params: p, model: m.model, encoder: newCaptionEncoder(m.tokenizer, m.model.Config), tokenizer: file}, held)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	return v.measure(ctx)
}

func (a *averaging) publish(ctx context.Context) error {
	t := a.task
	file, err := a.model.tokenizerFile()
	if err != nil {
		return err
	}
	out, err := saveModel(ctx, t, a.model.weights, file)
	if err != nil {
		return err
	}
	momentum, err := putStream(ctx, t.Store, func(w io.Writer) error {
		return checkpoint.Write(w, nil, a.tensors(func(s model.Spec, _ int) []float32 { return a.velocity[s.Name] }))
	})
	if err != nil {
		return fmt.Errorf("store the momentum: %w", err)
	}
	rounds, err := artifact.EncodeJSON(a.rounds)
	if err != nil {
		return err
	}
	ref, err := artifact.PutBytes(ctx, t.Store, rounds)
	if err != nil {
		return err
	}
	state, err := putState(ctx, t.Store, averageMeta{Model: out.Digest, Round: a.replicas[0].Round},
		artifact.File{Path: momentumFile, Ref: momentum}, artifact.File{Path: roundsFile, Ref: ref})
	if err != nil {
		return err
	}
	t.Output("model", out)
	t.Output("state", state)
	return nil
}
