package activities

import (
	"fmt"

	"tempera/datagen/example"
	"tempera/datagen/loader"
	"tempera/serving/generate"
	"tempera/training/model"
)

// retina turns pictures as they lie in rows into what a model's image tower takes: normalised squares of its size.
type retina struct {
	decoder *loader.Loader
	pixels  int
}

// newRetina returns nil for models that see nothing.
func newRetina(c model.Config) (*retina, error) {
	if c.Kind != model.VLM {
		return nil, nil
	}
	mean, std := c.Vision.Normalization()
	decoder, err := loader.New(loader.Config{Batch: 1, Image: c.Vision.Image, Mean: mean, Std: std}, loader.Part{Data: oneSample{}})
	return &retina{decoder, c.Vision.Pixels()}, err
}

// read returns the values of each picture. Of a row without pictures there are none.
func (r *retina) read(pictures [][]byte) ([][]float32, error) {
	if len(pictures) == 0 {
		return nil, nil
	}
	if r == nil {
		return nil, fmt.Errorf("there are %d images, and the model sees none", len(pictures))
	}
	out := make([][]float32, len(pictures))
	for i, p := range pictures {
		out[i] = make([]float32, r.pixels)
		if err := r.decoder.Preprocess(p, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// check refuses rows that a model with eyes cannot learn from: those without a picture, or with one that cannot be read.
func (r *retina) check(x *example.Example) error {
	if r == nil {
		return nil
	}
	if len(x.Pictures) == 0 {
		return fmt.Errorf("row %s has no image: a vision-language model learns from rows with one", x.ID)
	}
	if _, err := r.read(x.Pictures); err != nil {
		return fmt.Errorf("row %s: image: %w", x.ID, err)
	}
	return nil
}

// eye turns pictures into the rows that stand for them in the prompts of a vlm.
type eye struct {
	*retina
	encoder *model.ImageEncoder
	config  model.Config
}

// newEye makes the eye of a model, whose parameters it uses as they are at each call, for some pictures at a time. It returns nil for models that see
// nothing.
func newEye(m *model.Model, batch int) (*eye, error) {
	r, err := newRetina(m.Config)
	if r == nil || err != nil {
		return nil, err
	}
	encoder, err := model.NewImageEncoder(m, batch, nil)
	return &eye{r, encoder, m.Config}, err
}

// see returns the rows of each picture.
func (e *eye) see(pictures [][]float32) ([][]float32, error) {
	var images []float32
	for _, p := range pictures {
		images = append(images, p...)
	}
	all, n, err := e.encoder.Squares(images)
	if err != nil {
		return nil, err
	}
	rows, size := make([][]float32, n), len(all)/max(1, n)
	for i := range rows {
		rows[i] = append([]float32(nil), all[i*size:(i+1)*size]...)
	}
	return rows, nil
}

// prompt are the tokens of a text in which rows stand for its pictures.
func (e *eye) prompt(tokens []int32, pictures [][]float32) ([]generate.Part, error) {
	if len(pictures) == 0 {
		return generate.Tokens(tokens...), nil
	}
	rows, err := e.see(pictures)
	if err != nil {
		return nil, err
	}
	return e.place(tokens, rows), nil
}

// place puts the rows of pictures where their tokens are.
func (e *eye) place(tokens []int32, rows [][]float32) []generate.Part {
	var parts []generate.Part
	begun := 0 // of the tokens that are in no part yet
	text := func(to int) {
		if to > begun {
			parts = append(parts, generate.Part{Tokens: tokens[begun:to]})
		}
	}
	for at := 0; at < len(tokens); at++ {
		if tokens[at] != e.config.Text.Special.Image {
			continue
		}
		text(at)
		parts, rows = append(parts, generate.Part{Embeddings: rows[0]}), rows[1:]
		begun = at + e.config.ImageTokens()
		at = begun - 1
	}
	text(len(tokens))
	return parts
}

// sight is the retina of the eye, where there is one.
func (e *eye) sight() *retina {
	if e == nil {
		return nil
	}
	return e.retina
}

// close frees the eye, where there is one.
func (e *eye) close() error {
	if e == nil {
		return nil
	}
	return e.encoder.Close()
}
