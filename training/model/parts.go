package model

import (
	"errors"
	"fmt"
	"strings"

	"tempera/training/device"
)

// Parts are weights that a new vlm begins with in place of initial ones. nil: none.
type Parts struct {
	Vision   *Weights // of a model with an image tower; its pooling and projection stay behind
	Language *Weights // of an lm or a vlm
}

// Validate returns all faults at once.
func (p Parts) Validate() error {
	var faults []error
	if p.Vision != nil && !p.Vision.Config.images() {
		faults = append(faults, fmt.Errorf("a model of kind %s has no image tower to begin with: give one of kind clip, blip or vlm", p.Vision.Config.Kind))
	}
	if p.Language != nil && !p.Language.Config.decoder() {
		faults = append(faults, fmt.Errorf("a model of kind %s has no language model to begin with: give one of kind lm or vlm", p.Language.Config.Kind))
	}
	return errors.Join(faults...)
}

// Into gives a configuration the towers of the parts. The text tower keeps the token
// of images, and gets the larger vocabulary.
func (p Parts) Into(c Config) Config {
	if p.Vision != nil {
		c.Vision = p.Vision.Config.Vision
	}
	if p.Language != nil {
		own := c.Text
		c.Text = p.Language.Config.Text
		c.Text.Vocab, c.Text.Special.Image = max(c.Text.Vocab, own.Vocab), own.Special.Image
	}
	return c
}

// NewFromParts is New of a vlm whose towers are those of the parts, the projector
// being new. LoRA of the parts is merged. A token that the language model does not
// have begins with initial values.
func NewFromParts(b device.Backend, c Config, seed uint64, p Parts) (*Model, error) {
	c = c.Resolve()
	if err := errors.Join(c.Validate(), p.Validate()); err != nil {
		return nil, fmt.Errorf("new %s model: %w", c.Kind, err)
	}
	towers := map[string]*Weights{"vision.": p.Vision, "text.": p.Language}
	for name, w := range towers {
		if w == nil || w.Config.LoRA == nil {
			continue
		}
		merged, err := w.Merge()
		if err != nil {
			return nil, err
		}
		towers[name] = merged
	}
	return build(b, c, func(s Spec) ([]float32, error) {
		own := s.Values(seed)
		for prefix, w := range towers {
			if w != nil && strings.HasPrefix(s.Name, prefix) && !isLoRA(s.Name) {
				return own, s.take(own, w)
			}
		}
		return own, nil
	})
}

// take overwrites initial values with those of a part. Its columns or rows may be
// fewer where they stand for tokens.
func (s Spec) take(own []float32, w *Weights) error {
	v, err := w.Get(s.Name)
	if err != nil {
		return fmt.Errorf("begin with a %s model: %w", w.Config.Kind, err)
	}
	had := w.Config.Text.Vocab
	switch {
	case len(v) == len(own):
		copy(own, v)
	case s.Name == "text.token" && len(v) == had*s.Shape[1] && had < s.Shape[0]:
		copy(own, v)
	case s.Name == "text.head"+weightSuffix && len(v) == had*s.Shape[0] && had < s.Shape[1]:
		for i := range s.Shape[0] {
			copy(own[i*s.Shape[1]:], v[i*had:(i+1)*had])
		}
	default:
		return fmt.Errorf("begin with a %s model: parameter %s has %d values there, the new model's %v differ: leave the tower's fields out of model.config", w.Config.Kind, s.Name, len(v), s.Shape)
	}
	return nil
}
