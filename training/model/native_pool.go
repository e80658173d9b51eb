package model

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// Names of the inputs that tell which patches are an image's.
const (
	imageRowsInput    = "image_rows"    // int32 (Images Each): its patches, then 0
	imageLengthsInput = "image_lengths" // int32 (Images): how many it has
)

// each is the most patches that an image of a room may have where images are pooled.
func (s PackedShape) each() int { return s.Patches / max(s.Images, 1) }

// PackedFeature is ImageFeature of what PackedStates returned: the mean of each image's
// patches, projected, (Images, E). PackedImages.FeedPool feeds what it declares.
func (m *Model) PackedFeature(g *graph.Graph, states *graph.Node, s PackedShape) *graph.Node {
	rows := g.Input(imageRowsInput, device.Int32, s.Images*s.each())
	x := g.Reshape(op.GatherRows(g, states, rows), s.Images, s.each(), states.Dim(1)) // (Images, Each, C)
	x = op.MeanPool(g, x, g.Input(imageLengthsInput, device.Int32, s.Images))
	return m.linear(g, "image_projection", x, op.LinearOptions{})
}

// FeedPool feeds a graph that has PackedFeature. An image with more patches than its
// part of the room, and fewer images than there is room for, are errors.
func (p *PackedImages) FeedPool(g *graph.Graph, s PackedShape) error {
	each := s.each()
	rows, lengths := make([]int32, s.Images*each), make([]int32, s.Images)
	ends := p.ints[imageEndsInput]
	for i := range lengths {
		from, to := ends[i], ends[i+1]
		lengths[i] = to - from
		switch n := int(to - from); {
		case n == 0:
			return fmt.Errorf("pool packed images: there are %d of the %d that there is room for", i, s.Images)
		case n > each:
			return fmt.Errorf("pool packed images: image %d has %d patches, its part of the room is %d: resize it, or raise the room", i, n, each)
		}
		for k := from; k < to; k++ {
			rows[i*each+int(k-from)] = k
		}
	}
	return errors.Join(g.Feed(imageRowsInput, rows), g.Feed(imageLengthsInput, lengths))
}
