package objective

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// Names of a batch's arrays.
const (
	Images  = "images"
	Tokens  = "tokens"
	Lengths = "lengths"
	Targets = "targets"
	Groups  = "groups"

	// Of packed texts, see LM.
	Positions = "positions"
	Ends      = "ends"
	Shape     = "shape"
)

// last names the input that tells where texts end.
const last = "last"

func imageInput(g *graph.Graph, m *model.Model, batch int) *graph.Node {
	side := m.Config.Vision.Image
	return g.Input(Images, device.Float32, batch, 3, side, side)
}

// shape is the size of a batch of texts in a graph.
type shape struct{ rows, tokens int }

func textInput(g *graph.Graph, m *model.Model, s shape) model.Texts {
	t := model.Texts{
		Tokens:  g.Input(Tokens, device.Int32, s.rows, s.tokens),
		Lengths: g.Input(Lengths, device.Int32, s.rows),
	}
	if m.Config.Text.Pool == model.Last {
		t.Last = g.Input(last, device.Int32, s.rows)
	}
	return t
}

// pairs are the images and texts of a batch or of a part of it, checked.
type pairs struct {
	images          []float32
	tokens, lengths []int32
}

// part is micro-batch i of n.
func (p pairs) part(i, n int) pairs {
	images, tokens, rows := len(p.images)/n, len(p.tokens)/n, len(p.lengths)/n
	return pairs{p.images[i*images : (i+1)*images], p.tokens[i*tokens : (i+1)*tokens], p.lengths[i*rows : (i+1)*rows]}
}

// width is the number of tokens of a text, padding included.
func (p pairs) width() int { return len(p.tokens) / len(p.lengths) }

// longest is the length of the longest text.
func (p pairs) longest() int { return int(slices.Max(p.lengths)) }

// cut leaves padding out, so that a text is of n tokens.
func (p pairs) cut(n int) pairs {
	p.tokens = cut(p.tokens, p.width(), n)
	return p
}

// pairBytes is the size of a pair on the host.
func pairBytes(m *model.Model) int { return 4 * (m.Config.Vision.Pixels() + m.Config.Text.Context + 1) }

// readPairs takes n pairs from a batch. Ids outside the vocabulary and lengths
// that are not between 1 and the context are errors: kernels do not check them.
func readPairs(m *model.Model, n int, b *training.Batch) (p pairs, err error) {
	images, err := b.ReadFloat32s(Images, n*m.Config.Vision.Pixels())
	if err != nil {
		return p, err
	}
	p, err = readTextsOfPairs(m, n, b)
	p.images = images
	return p, err
}

// readTextsOfPairs is readPairs without the images.
func readTextsOfPairs(m *model.Model, n int, b *training.Batch) (p pairs, err error) {
	t := m.Config.Text
	if p.tokens, err = b.ReadInt32s(Tokens, n*t.Context); err != nil {
		return p, err
	}
	if p.lengths, err = b.ReadInt32s(Lengths, n); err != nil {
		return p, err
	}
	return p, errors.Join(checkIDs(p.tokens, t.Vocab), checkLengths(p.lengths, t.Context))
}

func checkIDs(ids []int32, vocab int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token %d of the batch is %d, outside the vocabulary of %d", i, id, vocab)
		}
	}
	return nil
}

func checkLengths(lengths []int32, context int) error {
	for i, l := range lengths {
		if l < 1 || int(l) > context {
			return fmt.Errorf("text %d of the batch has the length %d, want 1 to %d", i, l, context)
		}
	}
	return nil
}

// feedText feeds what textInput declared.
func feedText(g *graph.Graph, m *model.Model, p pairs) error {
	err := errors.Join(g.Feed(Tokens, p.tokens), g.Feed(Lengths, p.lengths))
	if m.Config.Text.Pool == model.Last {
		ends := make([]int32, len(p.lengths))
		for i, l := range p.lengths {
			ends[i] = int32(i*p.width()) + l - 1
		}
		err = errors.Join(err, g.Feed(last, ends))
	}
	return err
}

func feedPairs(g *graph.Graph, m *model.Model, p pairs) error {
	return errors.Join(g.Feed(Images, p.images), feedText(g, m, p))
}

// scalar reads an output of one element.
func scalar(g *graph.Graph, name string) (float64, error) {
	v, err := g.Read(name)
	if err != nil {
		return 0, err
	}
	return float64(v[0]), nil
}

// trainOnly freezes the parameters that no training graph uses: they must not
// decay. Others keep what they are.
func trainOnly(m *model.Model, graphs ...*graph.Graph) {
	used := map[*graph.Param]bool{}
	for _, g := range graphs {
		for _, p := range g.Params() {
			used[p] = true
		}
	}
	for _, p := range m.Params() {
		if !used[p] {
			p.Frozen = true
		}
	}
}
