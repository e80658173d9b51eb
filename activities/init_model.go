package activities

import (
	"context"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

type initModelParams struct {
	Kind  string    `json:"kind" doc:"lm: a language model; vlm: one that sees images." enum:"lm,vlm"`
	Model modelSize `json:"model" doc:"Size and form of the model."`
	Seed  uint64    `json:"seed" doc:"Seed of the initial weights."`
}

// Validate reports what no single field shows.
func (p initModelParams) Validate() error {
	return p.pretrain().Validate()
}

// pretrain is the same model as pretraining would make it.
func (p initModelParams) pretrain() pretrainParams {
	q := pretrainParams{fitParams: defaultFit(), Model: p.Model}
	q.Objective = goalName(p.Kind)
	return q
}

// initModel makes a model that has learned nothing: what post-training of small tasks
// starts from.
func initModel() Kind {
	return define(stage.Descriptor{
		Name: "init_model", Version: 1, Queue: stage.CPU,
		Summary: "Make a language model, with or without eyes, with initial weights",
		Inputs:  []stage.Port{{Name: "tokenizer", Type: artifact.TypeTokenizer, Doc: "Turns text into tokens; it becomes part of the model."}},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The model."}},
	}, initModelParams{Kind: string(lmGoalName), Model: modelSize{
		Width: 64, Text: 2, Heads: 4, Patch: 4, Image: 32, Context: 64,
		Config: map[string]any{"text": map[string]any{"form": "llama", "tie_head": true}},
	}}, runInitModel)
}

func runInitModel(ctx context.Context, t *Task, p initModelParams) error {
	n, err := planModel(ctx, t, p.pretrain())
	if err != nil {
		return err
	}
	w, err := model.Initial(n.config, p.Seed)
	if err != nil {
		return Invalid(err)
	}
	out, err := saveModel(ctx, t, w, n.file)
	if err != nil {
		return err
	}
	t.Output("model", out)
	t.Metric("parameters", parameterCount(w.Config))
	return nil
}
