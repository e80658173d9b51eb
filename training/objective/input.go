package objective

import (
	"errors"
	"fmt"

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
)

// last names the input that tells where texts end.
const last = "last"

func imageInput(g *graph.Graph, m *model.Model, batch int) *graph.Node {
	side := m.Config.Vision.Image
	return g.Input(Images, device.Float32, batch, 3, side, side)
}

func textInput(g *graph.Graph, m *model.Model, batch int) model.Texts {
	t := model.Texts{
		Tokens:  g.Input(Tokens, device.Int32, batch, m.Config.Text.Context),
		Lengths: g.Input(Lengths, device.Int32, batch),
	}
	if m.Config.Text.Pool == model.Last {
		t.Last = g.Input(last, device.Int32, batch)
	}
	return t
}

// pairs are the images and texts of a batch, checked.
type pairs struct {
	images          []float32
	tokens, lengths []int32
}

// readPairs takes n pairs from a batch. Ids outside the vocabulary and lengths
// that are not between 1 and the context are errors: kernels do not check them.
func readPairs(m *model.Model, n int, b *training.Batch) (p pairs, err error) {
	t := m.Config.Text
	if p.images, err = b.ReadFloat32s(Images, n*m.Config.Vision.Pixels()); err != nil {
		return p, err
	}
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
			ends[i] = int32(i*m.Config.Text.Context) + l - 1
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

// trainOnly freezes the parameters that a training graph does not use: they must
// not decay. Others keep what they are.
func trainOnly(m *model.Model, g *graph.Graph) {
	used := map[*graph.Param]bool{}
	for _, p := range g.Params() {
		used[p] = true
	}
	for _, p := range m.Params() {
		if !used[p] {
			p.Frozen = true
		}
	}
}
