package activities

import (
	"tempera/datagen/loader"
	"tempera/training/model"
)

// eye turns pictures into the rows that stand for them in the prompts of a vlm. Pictures are made squares of the model's size.
type eye struct {
	encoder *model.ImageEncoder
	decoder *loader.Loader
	pixels  int
}

// newEye returns nil for models that see nothing.
func newEye(dev *compute, from *loadedModel) (*eye, error) {
	c := from.weights.Config
	if c.Kind != model.VLM {
		return nil, nil
	}
	m, err := model.Load(dev.backend, from.weights)
	if err != nil {
		return nil, err
	}
	mean, std := c.Vision.Normalization()
	decoder, err := loader.New(loader.Config{Batch: 1, Image: c.Vision.Image, Mean: mean, Std: std}, loader.Part{Data: oneSample{}})
	if err != nil {
		return nil, err
	}
	encoder, err := model.NewImageEncoder(m, 1, nil)
	return &eye{encoder, decoder, c.Vision.Pixels()}, err
}

// see returns the rows of each picture.
func (e *eye) see(pictures [][]byte) ([][]float32, error) {
	images := make([]float32, len(pictures)*e.pixels)
	for i, p := range pictures {
		if err := e.decoder.Preprocess(p, images[i*e.pixels:(i+1)*e.pixels]); err != nil {
			return nil, err
		}
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

// close frees the eye, where there is one.
func (e *eye) close() error {
	if e == nil {
		return nil
	}
	return e.encoder.Close()
}
