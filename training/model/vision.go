package model

import (
	"fmt"

	"tempera/training/graph"
	"tempera/training/op"
)

// VisionStates runs the vision transformer (Dosovitskiy et al. 2021): images
// (B, 3, H, W) to (B, Tokens, C), the class token first where there is one.
func (m *Model) VisionStates(g *graph.Graph, images *graph.Node) *graph.Node {
	v := m.Config.Vision
	x := op.PatchEmbed(g, images, m.p(g, "vision.patch.weight"), m.p(g, "vision.patch.bias"), v.Patch) // (B, P, C)
	if v.Pool == First {
		x = op.PrependToken(g, x, m.p(g, "vision.class"))
	}
	x = op.AddPosition(g, x, m.p(g, "vision.position"))
	for i := range v.Layers {
		block := fmt.Sprintf("vision.blocks.%d", i)
		x = g.Block(block, func() *graph.Node {
			h := m.selfAttention(g, block+".self", x, op.AttentionOptions{Heads: v.Heads})
			return m.mlp(g, block+".mlp", h)
		})
	}
	return m.norm(g, "vision.norm", x)
}

// ImageFeature pools and projects what VisionStates returned: (B, E), not normalised.
func (m *Model) ImageFeature(g *graph.Graph, states *graph.Node) *graph.Node {
	var x *graph.Node
	if m.Config.Vision.Pool == First {
		x = op.SelectToken(g, states, 0)
	} else {
		x = op.MeanPool(g, states, nil)
	}
	return op.Linear(g, x, m.p(g, "image_projection.weight"), nil, op.LinearOptions{})
}
