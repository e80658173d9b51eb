package activities

import (
	"context"
	"fmt"

	"tempera/datagen/loader"
	"tempera/serving/generate"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/tokenizer"
)

// illustrator writes the texts of a vlm: BOS, the tokens of an image, the prompt, and
// then, learned or generated, the caption and EOS.
type illustrator struct {
	tokenizer *tokenizer.Tokenizer
	config    model.Config
	prompt    []int32
}

// newIllustrator checks that an image of so many tokens, the prompt and one word fit
// the context.
func newIllustrator(tok *tokenizer.Tokenizer, c model.Config, s sight) (*illustrator, error) {
	i := &illustrator{tokenizer: tok, config: c}
	if s.prompt != "" {
		i.prompt = tok.EncodePlain(s.prompt)
	}
	if most := s.tokens(c); most+len(i.prompt)+3 > c.Text.Context {
		return nil, Invalid(fmt.Errorf("an image is %d tokens and the prompt %d, and the context of the model %d: raise model.context, or projector.merge, or give smaller images", most, len(i.prompt), c.Text.Context))
	}
	return i, nil
}

// put writes a text and what is to be predicted into rows of the context. What does
// not fit of the caption is cut.
func (i *illustrator) put(row, targets []int32, image int, caption string) {
	s := i.config.Text.Special
	n := i.begin(row, image)
	words := i.tokenizer.EncodePlain(caption)
	end := n + copy(row[n:len(row)-1], words)
	row[end] = s.EOS
	for k := range targets {
		targets[k] = device.IgnoreIndex
		if next := k + 1; next >= n && next <= end {
			targets[k] = row[next]
		}
	}
	for k := end + 1; k < len(row); k++ {
		row[k] = s.Pad
	}
}

// begin writes what is before the caption and returns its length.
func (i *illustrator) begin(row []int32, image int) int {
	row[0] = i.config.Text.Special.BOS
	for k := range image {
		row[1+k] = i.config.Text.Special.Image
	}
	return 1 + image + copy(row[1+image:], i.prompt)
}

// fill puts the texts of captions into a batch, whose images are of so many tokens.
func (i *illustrator) fill(b *training.Batch, images []int, captions []string) {
	n := i.config.Text.Context
	tokens, targets := b.Int32s(objective.Tokens, len(captions)*n), b.Int32s(objective.Targets, len(captions)*n)
	for k, c := range captions {
		i.put(tokens[k*n:(k+1)*n], targets[k*n:(k+1)*n], images[k], c)
	}
}

// ask is the prompt of a request for the caption of an image, whose rows are given.
func (i *illustrator) ask(rows []float32) []generate.Part {
	parts := []generate.Part{{Tokens: []int32{i.config.Text.Special.BOS}}, {Embeddings: rows}}
	if len(i.prompt) > 0 {
		parts = append(parts, generate.Part{Tokens: i.prompt})
	}
	return parts
}

// suppressed are the tokens that are no part of a caption: special ones, and those
// that the tokenizer does not know. EOS, which some models pad with, is not among them.
func (i *illustrator) suppressed() []int32 {
	s := i.config.Text.Special
	var ids []int32
	for _, id := range []int32{s.Pad, s.BOS, s.ENC} {
		if id != s.EOS {
			ids = append(ids, id)
		}
	}
	for id := i.tokenizer.Size(); id < i.config.Text.Vocab; id++ {
		ids = append(ids, int32(id))
	}
	return ids
}

// sight is how a vlm is shown images.
type sight struct {
	native int // patches that an image keeping its shape may have; 0: squares
	prompt string
}

// tokens is the most that an image becomes.
func (s sight) tokens(c model.Config) int {
	if s.native == 0 {
		return c.ImageTokens()
	}
	return s.room(c, 1).Patches / (c.Projector.Merge * c.Projector.Merge)
}

// room is that of packed images; nil for squares.
func (s sight) room(c model.Config, images int) *model.PackedShape {
	if s.native == 0 {
		return nil
	}
	square := merged(c) * merged(c)
	return &model.PackedShape{Patches: images * max(1, s.native/square) * square, Images: images}
}

// sizes are those of images that keep their shapes; nil for squares.
func (s sight) sizes(c model.Config) *loader.Native {
	if s.native == 0 {
		return nil
	}
	square := merged(c) * merged(c)
	return &loader.Native{Unit: c.Vision.Patch * merged(c), Side: c.Vision.Side / merged(c), Square: max(1, s.native/square)}
}

// merged is the side in patches of what becomes a token.
func merged(c model.Config) int { return max(1, c.Projector.Merge) }

// check tells whether a model can be shown images so.
func (s sight) check(c model.Config) error {
	switch {
	case s.native == 0 || c.Vision.Form == model.MoonViT && c.Vision.Side >= merged(c):
		return nil
	case c.Vision.Form != model.MoonViT:
		return Invalid(fmt.Errorf("native is %d, and the vision form of the model is %s: images keep their shapes with moonvit only; leave native out, or train one with model.config {vision: {form: moonvit}}", s.native, c.Vision.Form))
	}
	return Invalid(fmt.Errorf("vision.side is %d, less than the %d patches that become a token: raise it", c.Vision.Side, merged(c)))
}

// asImages are sized images as models take them.
func asImages(sized []loader.Sized) []model.Image {
	images := make([]model.Image, len(sized))
	for i, s := range sized {
		images[i] = model.Image{Pixels: s.Pixels, Height: s.Height, Width: s.Width}
	}
	return images
}

// put packs images into a batch, or copies squares, and returns the tokens of each.
func (s sight) put(b *training.Batch, c model.Config, from shown) ([]int, error) {
	if room := s.room(c, from.n); room != nil {
		p, err := c.PackImages(*room, asImages(from.sized))
		if err != nil {
			return nil, err
		}
		p.Put(b)
		return p.Tokens, nil
	}
	copy(b.Float32s(objective.Images, len(from.squares)), from.squares)
	tokens := make([]int, from.n)
	for i := range tokens {
		tokens[i] = c.ImageTokens()
	}
	return tokens, nil
}

// shown are n images: squares, or of their own sizes.
type shown struct {
	n       int
	squares []float32
	sized   []loader.Sized
}

// illustratedBatches feeds a loop with texts that have images.
func illustratedBatches(ctx context.Context, j *job, l *loader.Loader) (training.Batches, error) {
	c, s := j.model.Config, j.params.sight()
	texts, err := newIllustrator(j.encoder.tokenizer, c, s)
	if err != nil {
		return nil, err
	}
	return func(step int64, b *training.Batch) error {
		got, err := l.Batch(ctx, step)
		if err != nil {
			return err
		}
		tokens, err := s.put(b, c, shown{len(got.Captions), got.Images, got.Sized})
		if err != nil {
			return err
		}
		texts.fill(b, tokens, got.Captions)
		return nil
	}, nil
}
