package model

import (
	"fmt"

	"tempera/training/graph"
	"tempera/training/op"
)

// Texts are a batch of texts in a graph.
type Texts struct {
	Tokens  *graph.Node // int32 (B, T)
	Lengths *graph.Node // int32 (B): tokens that are not padding; nil: none is
	// Last, int32 (B), is b T + length - 1 for row b. It is needed where the text
	// encoder pools the last token only.
	Last *graph.Node
}

// Memory is an image seen from the cross-attention of the text layers: the keys
// and values (B, P, 2 C) of each. Matching and captioning share it.
type Memory []*graph.Node

// Memory projects the states of images for all text layers.
func (m *Model) Memory(g *graph.Graph, states *graph.Node) Memory {
	kv := make(Memory, m.Config.Text.Layers)
	for i := range kv {
		kv[i] = m.linear(g, fmt.Sprintf("text.blocks.%d.cross.kv", i), states, op.LinearOptions{})
	}
	return kv
}

// Select takes the images whose rows index, int32 (N), names.
func (kv Memory) Select(g *graph.Graph, index *graph.Node) Memory {
	out := make(Memory, len(kv))
	for i, x := range kv {
		out[i] = op.GatherRows(g, x, index)
	}
	return out
}

// TextStates runs the text encoder, which sees no image: (B, T, C).
func (m *Model) TextStates(g *graph.Graph, t Texts) *graph.Node {
	return m.text(g, t, textPath{attention: "self", causal: m.Config.Text.Causal})
}

// GroundedStates runs the text encoder with cross-attention to images: (B, T, C).
// The first token should be ENC.
func (m *Model) GroundedStates(g *graph.Graph, t Texts, images Memory) *graph.Node {
	return m.text(g, t, textPath{attention: "self", images: images})
}

// DecoderStates runs the decoder, which looks back only: (B, T, C). images is nil
// in a language model. Padding comes last, so nothing that counts can see it.
func (m *Model) DecoderStates(g *graph.Graph, tokens *graph.Node, images Memory) *graph.Node {
	return m.text(g, Texts{Tokens: tokens}, textPath{attention: "causal", causal: true, images: images})
}

// textPath is one way through the blocks of the mixture.
type textPath struct {
	attention string // the self-attention that is the path's own
	causal    bool
	images    Memory
}

func (m *Model) text(g *graph.Graph, t Texts, path textPath) *graph.Node {
	x := op.Embedding(g, t.Tokens, m.p(g, "text.token")) // (B, T, C)
	x = op.AddPosition(g, x, m.p(g, "text.position"))
	o := op.AttentionOptions{Heads: m.Config.Text.Heads, Causal: path.causal, KeyLengths: t.Lengths}
	for i := range m.Config.Text.Layers {
		block := fmt.Sprintf("text.blocks.%d", i)
		x = g.Block(block, func() *graph.Node {
			h := m.selfAttention(g, block+"."+path.attention, x, o)
			if path.images != nil {
				h = m.crossAttention(g, block+".cross", h, path.images[i])
			}
			return m.mlp(g, block+".mlp", h)
		})
	}
	return m.norm(g, "text.norm", x)
}

// TextFeature pools and projects what TextStates returned: (B, E), not normalised.
func (m *Model) TextFeature(g *graph.Graph, states *graph.Node, t Texts) *graph.Node {
	var x *graph.Node
	switch m.Config.Text.Pool {
	case First:
		x = op.SelectToken(g, states, 0)
	case Last:
		rows := g.Reshape(states, states.Dim(0)*states.Dim(1), states.Dim(2))
		x = op.GatherRows(g, rows, t.Last)
	default:
		x = op.MeanPool(g, states, t.Lengths)
	}
	return op.Linear(g, x, m.p(g, "text_projection.weight"), nil, op.LinearOptions{})
}

// MatchLogits judges what GroundedStates returned by its first token: (B, 2),
// class 1 meaning that text and image belong together.
func (m *Model) MatchLogits(g *graph.Graph, states *graph.Node) *graph.Node {
	return m.linear(g, "match", op.SelectToken(g, states, 0), op.LinearOptions{})
}

// TokenLogits is the language head: (B, T, C) to (B, T, V).
func (m *Model) TokenLogits(g *graph.Graph, states *graph.Node) *graph.Node {
	if m.Config.Text.TieHead {
		return op.Linear(g, states, m.p(g, "text.token"), m.optional(g, "text.head.bias"), op.LinearOptions{Transposed: true})
	}
	return m.linear(g, "text.head", states, op.LinearOptions{})
}
