package activities

import (
	"cmp"
	"context"
	"maps"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

type initModelParams struct {
	Kind   goalName  `json:"kind" doc:"The objective that the model is for: lm is a language model, vlm one that sees images. Both have the form of Llama, with the head of the token table, where model.config.text is not given."`
	Model  modelSize `json:"model" doc:"Size and form of the model."`
	Seed   uint64    `json:"seed" doc:"Seed of the initial weights."`
	Batch  int       `json:"batch,omitempty" doc:"siglip: pairs of a step, which the bias begins with." min:"0"`
	Prompt string    `json:"prompt,omitempty" doc:"vlm: text between image and caption, for which there is room in the context."`
	Native int       `json:"native,omitempty" doc:"vlm: most patches of an image that keeps its shape." min:"0"`
}

// Validate reports what no single field shows.
func (p initModelParams) Validate() error {
	return p.pretrain().Validate()
}

// pretrain is the same model as pretraining would make it.
func (p initModelParams) pretrain() pretrainParams {
	q := pretrainParams{fitParams: defaultFit(), Model: p.Model}
	if _, given := p.Model.Config["text"]; !given && (p.Kind == lmGoalName || p.Kind == vlmGoalName) {
		q.Model.Config = maps.Clone(p.Model.Config)
		if q.Model.Config == nil {
			q.Model.Config = map[string]any{}
		}
		q.Model.Config["text"] = map[string]any{"form": model.Llama, "tie_head": true}
	}
	q.Objective, q.Seed, q.Batch, q.Prompt, q.Native = p.Kind, p.Seed, cmp.Or(p.Batch, q.Batch), p.Prompt, p.Native
	return q
}

// initModel makes a model that has learned nothing: what post-training of small tasks,
// and replicas, start from. It is what the kind pretrain begins with.
func initModel() Kind {
	return define(stage.Descriptor{
		Name: "init_model", Version: 1, Queue: stage.CPU,
		Summary: "Make a model with initial weights",
		Inputs:  append([]stage.Port{tokenizerPort("Turns text into tokens; it becomes part of the model.")}, partPorts()...),
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The model."}},
	}, initModelParams{Kind: lmGoalName, Model: modelSize{Width: 64, Text: 2, Heads: 4, Patch: 4, Image: 32, Context: 64}}, runInitModel)
}

func runInitModel(ctx context.Context, t *Task, p initModelParams) error {
	n, err := planModel(ctx, t, p.pretrain())
	if err != nil {
		return err
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	m, err := newModel(dev.backend, n.config, p.Seed, n.parts)
	if err != nil {
		return Invalid(err)
	}
	w, err := m.Weights()
	if err != nil {
		return err
	}
	out, err := saveModel(ctx, t, w, n.file)
	if err != nil {
		return err
	}
	t.Output("model", out)
	t.Metric("parameters", parameterCount(w.Config))
	return nil
}
