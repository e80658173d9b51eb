package model

import (
	"fmt"

	"tempera/training/graph"
	"tempera/training/op"
)

// ProjectImages takes what VisionStates returned to the language model: (B Tokens, C),
// image after image, Tokens being Config.ImageTokens. A class token is left out.
func (m *Model) ProjectImages(g *graph.Graph, states *graph.Node) *graph.Node {
	v := m.Config.Vision
	if v.ClassToken() {
		states = op.SliceTokens(g, states, 1, v.Patches())
	}
	b, side := states.Dim(0), v.GridSide()
	x := g.Reshape(states, b*v.Patches(), v.Width)
	var order []int32
	for i := range b {
		for _, p := range squares(side, side, m.Config.Projector.Merge) {
			order = append(order, int32(i*v.Patches())+p)
		}
	}
	return m.project(g, x, g.Ints(order))
}

// ProjectPacked is ProjectImages of what PackedStates returned: (N/Merge², C).
func (m *Model) ProjectPacked(g *graph.Graph, states *graph.Node, p Packed) *graph.Node {
	return m.project(g, states, p.Squares)
}

// project joins the patches (N, C), taken in an order that puts those of a square
// beside each other.
func (m *Model) project(g *graph.Graph, x, order *graph.Node) *graph.Node {
	p := m.Config.Projector
	t := tower{Model: m, norms: LayerNorm, eps: p.NormEps}
	x = t.norm(g, "projector.norm", x)
	if p.Merge > 1 {
		x = op.GatherRows(g, x, order)
	}
	x = g.Reshape(x, x.Dim(0)/(p.Merge*p.Merge), p.Merge*p.Merge*x.Dim(1))
	x = m.linear(g, "projector.up", x, op.LinearOptions{Activation: p.Activation.function()})
	return m.linear(g, "projector.down", x, op.LinearOptions{})
}

// PlaceImages tells where images stand in texts: the tokens that are Special.Image
// become -1, and slots counts them from 0, others being -1. Both are what Texts wants
// in Tokens and Slots. An error says that there is not one of them for each of the
// images' tokens.
func (c Config) PlaceImages(tokens []int32, imageTokens int) (words, slots []int32, err error) {
	words, slots = make([]int32, len(tokens)), make([]int32, len(tokens))
	n := int32(0)
	for i, id := range tokens {
		words[i], slots[i] = id, -1
		if id == c.Text.Special.Image {
			words[i], slots[i] = -1, n
			n++
		}
	}
	if int(n) != imageTokens {
		return nil, nil, fmt.Errorf("the texts have %d tokens that stand for images, the images are %d tokens: repeat the token %d once for each", n, imageTokens, c.Text.Special.Image)
	}
	return words, slots, nil
}
