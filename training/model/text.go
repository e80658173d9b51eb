package model

import (
	"fmt"

	"tempera/training/device"
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

	// Packed texts share rows: Positions, int32 (B, T), counts from 0 in each text and
	// stays below Text.Context; Ends, int32, are 0 and then where each text of the
	// batch ends, rows one after the other, repeating B T as often as there is place.
	// Texts do not see each other. Nil: a row is a text.
	Positions, Ends *graph.Node

	// Patches (N, C) are images as ProjectImages makes them, and Slots, int32 (B, T), is
	// the row of Patches that stands at a token's place, or -1; there Tokens is -1. Nil:
	// no images. PlaceImages makes Slots.
	Patches, Slots *graph.Node

	// Noise (B, T, C) is added to the embeddings; nil: none is.
	Noise *graph.Node
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
	return m.text(g, t, textPath{attention: "self", causal: m.Config.Text.Causal}).States
}

// GroundedStates runs the text encoder with cross-attention to images: (B, T, C).
// The first token should be ENC.
func (m *Model) GroundedStates(g *graph.Graph, t Texts, images Memory) *graph.Node {
	return m.text(g, t, textPath{attention: "self", images: images}).States
}

// DecoderStates is Decode of texts that fill their rows, for callers that need the
// states only. Padding comes last, so nothing that counts can see it.
func (m *Model) DecoderStates(g *graph.Graph, tokens *graph.Node, images Memory) *graph.Node {
	return m.Decode(g, Texts{Tokens: tokens}, images).States
}

// Decoded is what a decoder makes of texts.
type Decoded struct {
	States *graph.Node // (B, T, C)
	// Loads are, for each layer with experts, the ends of the experts' shares of the
	// tokens, int32 (N+1): expert n answered Loads[n+1] - Loads[n] of the Active B T.
	Loads []*graph.Node
}

// Decode runs the decoder, which looks back only. images is nil where there is no
// cross-attention.
func (m *Model) Decode(g *graph.Graph, t Texts, images Memory) Decoded {
	return m.text(g, t, textPath{attention: "causal", causal: true, images: images})
}

// textPath is one way through the blocks of the mixture.
type textPath struct {
	attention string // the self-attention that is the path's own
	causal    bool
	images    Memory
}

func (m *Model) text(g *graph.Graph, t Texts, path textPath) Decoded {
	c := m.Config.Text
	b, n := t.Tokens.Dim(0), t.Tokens.Dim(1)
	if c.Pool == End {
		t.Lengths = nil
	}
	x := m.embed(g, t) // (B, T, C)
	if t.Ends != nil {
		x = g.Reshape(x, 1, b*n, c.Width)
	}
	a := attend{rope: m.rotary(t), AttentionOptions: op.AttentionOptions{
		Heads: c.Heads, KVHeads: c.KVHeads, Causal: path.causal, KeyLengths: t.Lengths, Packed: t.Ends,
	}}
	tower := m.textTower()
	var out Decoded
	for i := range c.Layers {
		block := fmt.Sprintf("text.blocks.%d", i)
		x = g.Block(block, func() *graph.Node {
			h := tower.selfAttention(g, block+"."+path.attention, x, a)
			if path.images != nil {
				h = tower.crossAttention(g, block+".cross", h, path.images[i])
			}
			if !c.Sparse(i) {
				return tower.mlp(g, block+".mlp", h)
			}
			h, load := tower.experts(g, block+".mlp", h)
			out.Loads = append(out.Loads, load)
			return h
		})
	}
	out.States = g.Reshape(tower.norm(g, "text.norm", x), b, n, c.Width)
	return out
}

// embed looks up tokens and adds learned positions: (B, T, C).
func (m *Model) embed(g *graph.Graph, t Texts) *graph.Node {
	x := op.Embedding(g, t.Tokens, m.p(g, "text.token"))
	if t.Slots != nil {
		x = op.Add(g, x, op.Embedding(g, t.Slots, t.Patches))
	}
	if t.Noise != nil {
		x = op.Add(g, x, t.Noise)
	}
	switch {
	case m.Config.Text.Position == Rotary:
		return x
	case t.Positions != nil:
		return op.Add(g, x, op.Embedding(g, t.Positions, m.p(g, "text.position")))
	default:
		return op.AddPosition(g, x, m.p(g, "text.position"))
	}
}

// rotary is how queries and keys turn; nil where positions are learned. All layers
// share one table.
func (m *Model) rotary(t Texts) *op.RoPEOptions {
	c := m.Config.Text
	if c.Position != Rotary {
		return nil
	}
	r := c.Rotation()
	table := m.table(device.RoPESpec{
		Width: c.HeadWidth, Frequencies: r.Frequencies, Magnitude: r.Magnitude, Rows: counting(c.Context),
	})
	return &op.RoPEOptions{HeadWidth: c.HeadWidth, Heads: c.Heads + c.KVHeads, Table: table, Index: t.Positions}
}

// counting is 0, 1, ..., n-1.
func counting(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
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
	case End:
		if n := m.Config.Text.Context; states.Dim(1) != n {
			panic(&graph.Fault{Op: "text feature", Reason: fmt.Sprintf("texts have %d tokens: text.pool end needs them padded to the context, %d", states.Dim(1), n)})
		}
		x = op.SelectToken(g, states, -1)
	default:
		x = op.MeanPool(g, states, t.Lengths)
	}
	return m.linear(g, "text_projection", x, op.LinearOptions{})
}

// MatchLogits judges what GroundedStates returned by its first token: (B, 2),
// class 1 meaning that text and image belong together.
func (m *Model) MatchLogits(g *graph.Graph, states *graph.Node) *graph.Node {
	return m.linear(g, "match", op.SelectToken(g, states, 0), op.LinearOptions{Exact: true})
}

// TokenLogits is the language head: (B, T, C) to (B, T, V).
func (m *Model) TokenLogits(g *graph.Graph, states *graph.Node) *graph.Node {
	if m.Config.Text.TieHead {
		return op.Linear(g, states, m.p(g, "text.token"), m.optional(g, "text.head.bias"), op.LinearOptions{Transposed: true, Exact: true})
	}
	return m.linear(g, "text.head", states, op.LinearOptions{Exact: true})
}

// TokenLoss is the mean cross-entropy of TokenLogits against the targets, int32 (B, T), without holding all logits of a large vocabulary.
func (m *Model) TokenLoss(g *graph.Graph, states, targets *graph.Node, smoothing float32) *graph.Node {
	if m.byName["text.head"+loraA] != nil {
		return op.CrossEntropy(g, m.TokenLogits(g, states), targets, op.CrossEntropyOptions{Smoothing: smoothing})
	}
	o := op.HeadOptions{Bias: m.optional(g, "text.head.bias"), Smoothing: smoothing, Transposed: m.Config.Text.TieHead}
	weight := "text.head" + weightSuffix
	if m.Config.Text.TieHead {
		weight = "text.token"
	}
	return op.HeadCrossEntropy(g, states, m.p(g, weight), targets, o)
}
