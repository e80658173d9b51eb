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
	x := m.linear(g, "vision.patch", op.Patchify(g, images, v.Patch), op.LinearOptions{}) // (B, P, C)
	if v.ClassToken() {
		x = op.PrependToken(g, x, m.p(g, "vision.class"))
	}
	a := attend{AttentionOptions: op.AttentionOptions{Heads: v.Heads}}
	position := m.p(g, "vision.position")
	if v.Form == MoonViT {
		position, a.rope = m.evenGrid(g)
	}
	return m.visionBlocks(g, op.AddPosition(g, x, position), a)
}

// visionBlocks is what follows the positions.
func (m *Model) visionBlocks(g *graph.Graph, x *graph.Node, a attend) *graph.Node {
	t := m.visionTower()
	if m.Config.Vision.PreNorm {
		x = t.norm(g, "vision.pre_norm", x)
	}
	for i := range m.Config.Vision.Layers {
		block := fmt.Sprintf("vision.blocks.%d", i)
		x = g.Block(block, func() *graph.Node {
			return t.mlp(g, block+".mlp", t.selfAttention(g, block+".self", x, a))
		})
	}
	return t.norm(g, "vision.norm", x)
}

// ImageFeature pools and projects what VisionStates returned: (B, E), not normalised.
func (m *Model) ImageFeature(g *graph.Graph, states *graph.Node) *graph.Node {
	var x *graph.Node
	switch m.Config.Vision.Pool {
	case First:
		x = op.SelectToken(g, states, 0)
	case Attention:
		x = m.poolByAttention(g, states)
	default:
		x = op.MeanPool(g, states, nil)
	}
	if !m.Config.projectsImages() {
		return x
	}
	return m.linear(g, "image_projection", x, op.LinearOptions{})
}

// poolByAttention lets a learned query attend to the patches of each image, an MLP
// following (Zhai et al. 2022): (B, P, C) to (B, C).
func (m *Model) poolByAttention(g *graph.Graph, states *graph.Node) *graph.Node {
	b, c := states.Dim(0), states.Dim(2)
	t := m.visionTower()
	q := m.linear(g, "vision.pool.q", g.Reshape(m.p(g, "vision.pool.probe"), 1, c), op.LinearOptions{})
	q = op.GatherRows(g, q, g.Ints(make([]int32, b))) // the same query for every image
	kv := m.linear(g, "vision.pool.kv", states, op.LinearOptions{})
	x := op.CrossAttention(g, g.Reshape(q, b, 1, c), kv, op.AttentionOptions{Heads: m.Config.Vision.Heads})
	x = m.linear(g, "vision.pool.out", g.Reshape(x, b, c), op.LinearOptions{})
	return t.mlp(g, "vision.pool.mlp", x)
}
