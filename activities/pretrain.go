package activities

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

// modelSize says how large a new model is, and of what form.
type modelSize struct {
	Width   int            `json:"width" doc:"Channels of the model: the dial that sizes the rest." min:"8" max:"4096"`
	Layers  int            `json:"layers" doc:"Blocks of the image tower; 0 follows the width." min:"0" max:"48"`
	Text    int            `json:"text_layers" doc:"Blocks of the text tower; 0 follows the width." min:"0" max:"48"`
	Heads   int            `json:"heads" doc:"Attention heads; 0 follows the width." min:"0" max:"64"`
	Patch   int            `json:"patch" doc:"Side of an image patch in pixels." min:"1" max:"64"`
	Image   int            `json:"image" doc:"Side of the images in pixels; data is resized to it." min:"8" max:"1024"`
	Context int            `json:"context" doc:"Most tokens of a text; 0 is 256 for lm, and otherwise the longest caption of the tokenizer's corpus, at most 64, with the tokens of the image and the prompt of a vlm." min:"0" max:"65536"`
	Config  map[string]any `json:"config,omitempty" doc:"Any other field of the model's configuration, as config.json has them, e.g. {text: {form: llama, kv_heads: 2}}."`
}

type pretrainParams struct {
	fitParams
	Model modelSize `json:"model" doc:"Size of the new model."`
}

// lmContext is the context of a language model where none is given.
const lmContext = 256

// Validate reports what no single field shows.
func (p pretrainParams) Validate() error {
	const vocab, context = 1024, 64 // of the tokenizer's, which is not known yet
	faults := []error{p.fitParams.Validate()}
	c, err := p.config(model.Text{Vocab: vocab, Context: context}, model.Parts{})
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	for i, st := range p.Stages {
		if st.Context > c.Text.Context {
			faults = append(faults, fmt.Errorf("stages[%d].context is %d, more than the model's %d: raise model.context", i, st.Context, c.Text.Context))
		}
	}
	if err := c.Resolve().Validate(); err != nil {
		faults = append(faults, fmt.Errorf("model: %w", err))
	}
	return errors.Join(faults...)
}

// config is the configuration of the new model. Of text, what depends on the
// tokenizer is given: the vocabulary, the special ids, and the tokens of a caption,
// for which there is room where no context is given.
func (p pretrainParams) config(text model.Text, parts model.Parts) (model.Config, error) {
	size := p.Model
	c := model.Config{Width: size.Width, Text: text}
	c.Text.Layers, c.Text.Heads, c.Text.Context = size.Text, size.Heads, size.Context
	g, ok := findGoal(p.Objective)
	if !ok {
		return c, nil // CheckTags names it
	}
	c.Kind = g.kind
	if g.kind != model.LM {
		c.Vision = model.Vision{Image: size.Image, Patch: size.Patch, Layers: size.Layers, Heads: size.Heads}
	}
	if g.shape != nil {
		g.shape(&c, p.fitParams)
	}
	c = parts.Into(c)
	c.Text.Context = cmp.Or(size.Context, c.Text.Context)
	if err := size.overlay(&c); err != nil {
		return c, err
	}
	switch {
	case c.Text.Context > 0:
	case g.kind == model.LM:
		c.Text.Context = lmContext
	default:
		c.Text.Context = text.Context
		if g.room != nil {
			c.Text.Context += g.room(c.Resolve(), p.fitParams)
		}
	}
	return c, nil
}

// overlay sets the fields of a configuration that are given one by one.
func (s modelSize) overlay(c *model.Config) error {
	if s.Config == nil {
		return nil
	}
	raw, err := json.Marshal(s.Config)
	if err != nil {
		return fmt.Errorf("model.config: %w", err)
	}
	kind, vocab := c.Kind, c.Text.Vocab
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return fmt.Errorf("model.config: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if c.Kind != kind || c.Text.Vocab != vocab {
		return errors.New("model.config: kind and text.vocab are the objective's and the tokenizer's: leave them out")
	}
	return nil
}

// dataTypes are what trainings learn from: pairs, and of lm tokens.
const dataTypes = artifact.TypeDataset + "|" + artifact.TypeTokens

// heldOutPort is the data that trainings are measured on.
func heldOutPort() stage.Port {
	return stage.Port{Name: "held_out", Type: dataTypes, Optional: true, Doc: "Data of the same type that is not learned from: the model is measured on it on the way."}
}

// pretrain trains a model from initial weights.
func pretrain() Kind {
	return define(stage.Descriptor{
		Name: "pretrain", Version: 2, Queue: stage.CPU,
		Headline: []string{"loss", "bits_per_byte", "r1"},
		Summary:  "Train a model from initial weights",
		Inputs: append([]stage.Port{
			{Name: "data", Type: dataTypes, Many: true, Doc: "Pairs, or of lm tokens, to learn from; several sets are drawn from by their sizes, or by weights."},
			tokenizerPort("Turns text into tokens; it becomes part of the model."),
			heldOutPort(),
		}, partPorts()...),
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained model."}},
	}, pretrainParams{defaultFit(), modelSize{Width: 64, Layers: 3, Text: 2, Heads: 4, Patch: 4, Image: 32}}, runPretrain)
}

// freshModel is what a new model is made of.
type freshModel struct {
	config    model.Config
	tokenizer *tokenizer.Tokenizer
	file      artifact.File // tokenizer.json
	parts     model.Parts   // of other models
}

// planModel makes the configuration of a new model for the tokenizer of the stage.
func planModel(ctx context.Context, t *Task, p pretrainParams) (*freshModel, error) {
	source, _ := t.Input("tokenizer")
	tok, meta, err := loadTokenizer(ctx, t.Store, source)
	if err != nil {
		return nil, err
	}
	special, err := specialIDs(tok)
	if err != nil {
		return nil, err
	}
	parts, err := loadParts(ctx, t, p)
	if err != nil {
		return nil, err
	}
	c, err := p.config(model.Text{Vocab: tok.Size(), Context: min(max(meta.Longest, 4), captionTokens), Special: special}, parts)
	if err != nil {
		return nil, Invalid(err)
	}
	files, err := artifact.LoadManifest(ctx, t.Store, source)
	if err != nil {
		return nil, err
	}
	file, err := files.Find(tokenizerFile)
	return &freshModel{c, tok, file, parts}, Invalid(err)
}

func runPretrain(ctx context.Context, t *Task, p pretrainParams) error {
	n, err := planModel(ctx, t, p)
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
	return fit(ctx, &job{task: t, params: p.fitParams, model: m, encoder: newCaptionEncoder(n.tokenizer, m.Config), tokenizer: n.file})
}
