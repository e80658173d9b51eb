package activities

import (
	"context"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

// finetune goes on training a model on other data or for other parts of its
// objective.
func finetune() Kind {
	return define(stage.Descriptor{
		Name: "finetune", Version: 1, Queue: stage.CPU,
		Summary: "Go on training a model",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Where to start from."},
			{Name: "data", Type: artifact.TypeDataset, Many: true, Doc: "Pairs to learn from."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, defaultFit(), runFinetune)
}

func runFinetune(ctx context.Context, t *Task, p fitParams) error {
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return err
	}
	if string(from.weights.Config.Kind) != p.Objective {
		return Invalid(fmt.Errorf("the model is of kind %s: train it with objective %s", from.weights.Config.Kind, from.weights.Config.Kind))
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	m, err := model.Load(dev.backend, from.weights)
	if err != nil {
		return err
	}
	file, err := from.files.Find(tokenizerFile)
	if err != nil {
		return Invalid(err)
	}
	return fit(ctx, t, p, m, newCaptionEncoder(from.tokenizer, m.Config), file)
}
