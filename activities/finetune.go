package activities

import (
	"context"

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
	j, release, err := goOn(ctx, t, p)
	if err != nil {
		return err
	}
	defer release()
	return fit(ctx, j)
}

// goOn makes the job that goes on training the input model.
func goOn(ctx context.Context, t *Task, p fitParams) (_ *job, release func(), _ error) {
	from, err := inputModel(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if g, ok := findGoal(p.Objective); ok {
		if err := g.trains(from.weights.Config); err != nil {
			return nil, nil, err
		}
	}
	file, err := from.tokenizerFile()
	if err != nil {
		return nil, nil, err
	}
	m, err := from.deploy(t)
	if err != nil {
		return nil, nil, err
	}
	return &job{task: t, params: p, model: m.model, encoder: newCaptionEncoder(m.tokenizer, m.model.Config), tokenizer: file}, m.close, nil
}
