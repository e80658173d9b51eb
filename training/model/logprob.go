package model

import (
	"tempera/training/graph"
	"tempera/training/op"
)

// TokenLogProbs are what policy objectives take from the language head: (N, 2) for states (..., C) of N rows, the log-probability of each row's
// target, int32, and the entropy of the row's distribution at a temperature, both 0 where the target is device.IgnoreIndex. It never holds all
// logits of a large vocabulary.
func (m *Model) TokenLogProbs(g *graph.Graph, states, targets *graph.Node, temperature float32) *graph.Node {
	return op.HeadLogProbs(g, states, m.headWeight(g), targets, op.LogProbOptions{
		Bias: m.optional(g, "text.head.bias"), Transposed: m.Config.Text.TieHead, Temperature: temperature,
	})
}

// headWeight is the weight of the language head, (C, V), or (V, C) where it is tied; with what LoRA adds to it.
func (m *Model) headWeight(g *graph.Graph) *graph.Node {
	if m.Config.Text.TieHead {
		return m.p(g, "text.token")
	}
	w := m.p(g, "text.head"+weightSuffix)
	a := m.optional(g, "text.head"+loraA)
	if a == nil {
		return w
	}
	scaled := op.Scale(g, a, float32(m.Config.LoRA.Scale()))
	return op.Linear(g, scaled, m.p(g, "text.head"+loraB), nil, op.LinearOptions{Residual: w})
}

// Head is the language head applied to states, as an operand of operations that never hold all logits.
func (m *Model) Head(g *graph.Graph, states *graph.Node) op.HeadOperand {
	return op.HeadOperand{X: states, W: m.headWeight(g), Bias: m.optional(g, "text.head.bias"), Transposed: m.Config.Text.TieHead}
}
