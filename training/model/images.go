package model

import (
	"fmt"

	"tempera/training/graph"
)

// ImageEncoder turns images into the rows that stand for them in the text of a vlm:
// vision tower and projector, without a reverse pass. Images are squares of
// Vision.Image, or, where it was made with room for packed ones, of any size. It is
// not safe for concurrent use.
type ImageEncoder struct {
	batched
	room *PackedShape
}

// NewImageEncoder makes an encoder of batches of images, or, where room is given, of
// as many packed images as there is room for at a time.
func NewImageEncoder(m *Model, batch int, room *PackedShape) (*ImageEncoder, error) {
	const what = "image encoder"
	if m.Config.Kind != VLM {
		return nil, fmt.Errorf("%s: a model of kind %s takes no images into its texts: use vlm", what, m.Config.Kind)
	}
	if room != nil && m.Config.Vision.Form != MoonViT {
		return nil, fmt.Errorf("%s: the vision form is %s: images of any size need moonvit", what, m.Config.Vision.Form)
	}
	b, err := newBatched(what, m, batch)
	if err != nil {
		return nil, err
	}
	return &ImageEncoder{b, room}, nil
}

// Squares are the rows of n square images (n, 3, H, W): (n, ImageTokens, C), C being
// the width of the text tower.
func (e *ImageEncoder) Squares(images []float32) (rows []float32, n int, err error) {
	c := e.model.Config
	rows, n, err = e.ofImages("squares", images, func(g *graph.Graph) *graph.Node {
		x := e.model.ProjectImages(g, e.model.VisionStates(g, e.imageInput(g)))
		return g.Reshape(x, e.batch, c.ImageTokens(), c.Text.Width)
	})
	return rows, n, err
}

// Packed are the rows of each image, (tokens, C). Their sides must be as PackImages
// wants them, and each alone must fit the room.
func (e *ImageEncoder) Packed(images []Image) ([][]float32, error) {
	if e.room == nil {
		return nil, fmt.Errorf("%s: it was made without room for packed images", e.what)
	}
	g, err := e.evaluate("packed", func(g *graph.Graph) *graph.Node {
		p := e.model.PackedInput(g, *e.room)
		return e.model.ProjectPacked(g, e.model.PackedStates(g, p), p)
	})
	if err != nil {
		return nil, err
	}
	var rows [][]float32
	for len(images) > 0 {
		n := e.fitting(images)
		p, err := e.model.Config.PackImages(*e.room, images[:n])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.what, err)
		}
		v, err := e.run(g, func() error { return p.Feed(g) })
		if err != nil {
			return nil, err
		}
		for _, tokens := range p.Tokens {
			size := tokens * e.model.Config.Text.Width
			rows = append(rows, append([]float32(nil), v[:size]...))
			v = v[size:]
		}
		images = images[n:]
	}
	return rows, nil
}

// fitting is how many of the images fit the room; 1 at least, so that what is wrong
// with the first is told.
func (e *ImageEncoder) fitting(images []Image) int {
	side, patches := e.model.Config.Vision.Patch, 0
	for i, m := range images[:min(len(images), e.room.Images)] {
		patches += (m.Height / side) * (m.Width / side)
		if patches > e.room.Patches {
			return max(1, i)
		}
	}
	return min(len(images), e.room.Images)
}
