package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/workflows/stage"
)

// partPorts are models whose towers a new vlm begins with.
func partPorts() []stage.Port {
	return []stage.Port{
		{Name: "vision", Type: artifact.TypeModel, Optional: true, Doc: "vlm: a clip, blip or vlm model whose image tower, with its size, the new model begins with."},
		{Name: "language", Type: artifact.TypeModel, Optional: true, Doc: "vlm: an lm or vlm model whose text tower, with its size, the new model begins with; its tokenizer is to be the input tokenizer."},
	}
}

// loadParts reads them. The language model must be of the tokenizer.
func loadParts(ctx context.Context, t *Task, p pretrainParams) (model.Parts, error) {
	var parts model.Parts
	for _, part := range []struct {
		port string
		to   **model.Weights
	}{{"vision", &parts.Vision}, {"language", &parts.Language}} {
		a, ok := t.Input(part.port)
		if !ok {
			continue
		}
		if p.Objective != vlmGoalName {
			return parts, Invalid(fmt.Errorf("input %s is for objective vlm: leave it out, or go on with a whole model by the kind finetune", part.port))
		}
		from, err := loadModel(ctx, t, a)
		if err != nil {
			return parts, err
		}
		*part.to = from.weights
	}
	if err := parts.Validate(); err != nil {
		return parts, Invalid(err)
	}
	return parts, languageTokenizer(ctx, t)
}

// languageTokenizer holds the tokenizer to that of the language model.
func languageTokenizer(ctx context.Context, t *Task) error {
	language, ok := t.Input("language")
	if !ok {
		return nil
	}
	given, _ := t.Input("tokenizer")
	own, errOwn := tokenizerDigest(ctx, t.Store, language)
	other, errOther := tokenizerDigest(ctx, t.Store, given)
	if err := errors.Join(errOwn, errOther); err != nil {
		return err
	}
	if own != other {
		return Invalid(fmt.Errorf("the language model has tokenizer %s, input tokenizer is %s: give that model as tokenizer too", own.Short(), other.Short()))
	}
	return nil
}

// newModel makes the model that is trained.
func newModel(b device.Backend, c model.Config, seed uint64, parts model.Parts) (*model.Model, error) {
	if parts == (model.Parts{}) {
		return model.New(b, c, seed)
	}
	return model.NewFromParts(b, c, seed, parts)
}
