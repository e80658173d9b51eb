package activities

import (
	"context"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

// modelSize says how large a new model is.
type modelSize struct {
	Width   int `json:"width" doc:"Channels of both towers." min:"8" max:"4096"`
	Layers  int `json:"layers" doc:"Blocks of the image tower." min:"1" max:"48"`
	Text    int `json:"text_layers" doc:"Blocks of the text tower." min:"1" max:"48"`
	Heads   int `json:"heads" doc:"Attention heads." min:"1" max:"64"`
	Patch   int `json:"patch" doc:"Side of an image patch in pixels." min:"1" max:"64"`
	Image   int `json:"image" doc:"Side of the images in pixels; data is resized to it." min:"8" max:"1024"`
	Context int `json:"context" doc:"Most tokens of a caption; 0 takes the longest of the tokenizer's corpus, at most 64." min:"0" max:"4096"`
}

type pretrainParams struct {
	fitParams
	Model modelSize `json:"model" doc:"Size of the new model."`
}

// pretrain trains a model from initial weights.
func pretrain() Kind {
	return define(stage.Descriptor{
		Name: "pretrain", Version: 1, Queue: stage.CPU,
		Summary: "Train a model from initial weights",
		Inputs: []stage.Port{
			{Name: "data", Type: artifact.TypeDataset, Many: true, Doc: "Pairs to learn from; several sets are drawn from by their sizes."},
			{Name: "tokenizer", Type: artifact.TypeTokenizer, Doc: "Turns captions into tokens; it becomes part of the model."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, pretrainParams{defaultFit(), modelSize{Width: 64, Layers: 3, Text: 2, Heads: 4, Patch: 4, Image: 32}}, runPretrain)
}

func runPretrain(ctx context.Context, t *Task, p pretrainParams) error {
	source, _ := t.Input("tokenizer")
	tok, meta, err := loadTokenizer(ctx, t.Store, source)
	if err != nil {
		return err
	}
	special, err := specialIDs(tok)
	if err != nil {
		return err
	}
	size := p.Model
	if size.Context == 0 {
		size.Context = min(max(meta.Longest, 4), 64)
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	m, err := model.New(dev.backend, model.Config{
		Kind: model.Kind(p.Objective), Width: size.Width,
		Vision: model.Vision{Image: size.Image, Patch: size.Patch, Layers: size.Layers, Heads: size.Heads},
		Text:   model.Text{Vocab: tok.Size(), Context: size.Context, Layers: size.Text, Heads: size.Heads, Special: special},
	}, p.Seed)
	if err != nil {
		return Invalid(err)
	}
	files, err := artifact.LoadManifest(ctx, t.Store, source)
	if err != nil {
		return err
	}
	file, err := files.Find(tokenizerFile)
	if err != nil {
		return Invalid(err)
	}
	return fit(ctx, t, p.fitParams, m, newCaptionEncoder(tok, m.Config), file)
}
