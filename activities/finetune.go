package activities

import (
	"context"
	"fmt"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// finetune goes on training a model on other data or for other parts of its
// objective.
func finetune() Kind {
	return define(stage.Descriptor{
		Name: "finetune", Version: 2, Queue: stage.CPU,
		Summary: "Go on training a model",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Where to start from."},
			{Name: "data", Type: dataTypes, Many: true, Doc: "Pairs, or of lm tokens, to learn from."},
			heldOutPort(),
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, defaultFit(), runFinetune)
}

func runFinetune(ctx context.Context, t *Task, p fitParams) error {
	from, err := inputModel(ctx, t)
	if err != nil {
		return err
	}
	if g, ok := findGoal(p.Objective); ok && g.kind != from.weights.Config.Kind {
		return Invalid(fmt.Errorf("the model is of kind %s, and objective %s trains %s: use an objective of that kind", from.weights.Config.Kind, p.Objective, g.kind))
	}
	file, err := from.tokenizerFile()
	if err != nil {
		return err
	}
	m, err := from.deploy(t)
	if err != nil {
		return err
	}
	defer m.close()
	return fit(ctx, &job{task: t, params: p, model: m.model, encoder: newCaptionEncoder(m.tokenizer, m.model.Config), tokenizer: file})
}
