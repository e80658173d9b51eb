package objective

import (
	"errors"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// slots names the input that tells which token of an image stands where.
const slots = "slots"

// sights is how a graph sees images: as squares, one for each of its texts, or packed.
type sights struct {
	rows   int
	packed *model.PackedShape // nil: squares
}

// patches declares the images and returns what makes the rows that stand for them in texts, by the tower of each model that reads these.
func (s sights) patches(g *graph.Graph, m *model.Model) func(m *model.Model) *graph.Node {
	if s.packed == nil {
		images := imageInput(g, m, s.rows)
		return func(m *model.Model) *graph.Node { return m.ProjectImages(g, m.VisionStates(g, images)) }
	}
	p := m.PackedInput(g, *s.packed)
	return func(m *model.Model) *graph.Node { return m.ProjectPacked(g, m.PackedStates(g, p), p) }
}

// imagesOf are those of micro-batch i of n of a batch.
type imagesOf struct {
	batch *training.Batch
	i, n  int
}

// feed feeds what patches declared and returns the number of the images' tokens.
// Packed images are never split.
func (s sights) feed(g *graph.Graph, c model.Config, from imagesOf) (int, error) {
	if s.packed != nil {
		p, tokens, err := c.ReadPacked(*s.packed, from.batch)
		if err != nil {
			return 0, err
		}
		return tokens, p.Feed(g)
	}
	part := s.rows * c.Vision.Pixels()
	all, err := from.batch.ReadFloat32s(Images, from.n*part)
	if err != nil {
		return 0, err
	}
	return s.rows * c.ImageTokens(), g.Feed(Images, all[from.i*part:(from.i+1)*part])
}

type vlmInput struct {
	shape
	sights
	teacher *Teacher // nil: the texts teach alone
}

// defineVLM is the mean cross-entropy of texts with images.
func defineVLM(g *graph.Graph, m *model.Model, in vlmInput) (loss *graph.Node, d model.Decoded) {
	rows, tokens := in.shape.rows, in.tokens
	text := model.Texts{Tokens: g.Input(Tokens, device.Int32, rows, tokens), Slots: g.Input(slots, device.Int32, rows, tokens)}
	patches := in.patches(g, m)
	decode := func(m *model.Model) model.Decoded {
		t := text
		t.Patches = patches(m)
		return m.Decode(g, t, nil)
	}
	d = decode(m)
	targets := g.Input(Targets, device.Int32, rows, tokens)
	loss = m.TokenLoss(g, d.States, targets, 0)
	if in.teacher != nil {
		read := func(m *model.Model) *graph.Node { return decode(m).States }
		loss = in.teacher.teach(g, lessonText{m, read, d.States, targets, loss})
	}
	g.Output(training.LossKey, loss)
	return loss, d
}

// illustratedTexts are texts in which Special.Image stands for the tokens of images.
type illustratedTexts struct{ tokens, targets []int32 }

// readIllustrated takes n texts from a batch, checked. Targets that stand for images
// are left out of the loss.
func readIllustrated(m *model.Model, n int, b *training.Batch) (illustratedTexts, error) {
	t := m.Config.Text
	tokens, err := b.ReadInt32s(Tokens, n*t.Context)
	if err != nil {
		return illustratedTexts{}, err
	}
	given, err := b.ReadInt32s(Targets, n*t.Context)
	if err != nil {
		return illustratedTexts{}, err
	}
	targets := make([]int32, len(given))
	for i, id := range given {
		targets[i] = id
		if id == t.Special.Image {
			targets[i] = device.IgnoreIndex
		}
	}
	return illustratedTexts{tokens, targets}, errors.Join(checkIDs(tokens, t.Vocab), checkTargets(given, t.Vocab))
}

// feed feeds a graph of defineVLM; images is the number of the images' tokens.
func (t illustratedTexts) feed(g bucket, c model.Config, images int) error {
	words, places, err := c.PlaceImages(t.tokens, images)
	if err != nil {
		return err
	}
	context := c.Text.Context
	return errors.Join(
		g.Feed(Tokens, cut(words, context, g.tokens)), g.Feed(slots, cut(places, context, g.tokens)),
		g.Feed(Targets, cut(t.targets, context, g.tokens)))
}

// lastImage is the number of columns that hold all image tokens of rows that are
// width wide.
func lastImage(tokens []int32, width int, image int32) int {
	n := 0
	for i, id := range tokens {
		if id == image {
			n = max(n, i%width+1)
		}
	}
	return n
}
