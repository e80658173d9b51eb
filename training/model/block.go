package model

import (
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// linear is x W + b of the layer called name.
func (m *Model) linear(g *graph.Graph, name string, x *graph.Node, o op.LinearOptions) *graph.Node {
	return op.Linear(g, x, m.p(g, name+weightSuffix), m.optional(g, name+biasSuffix), o)
}

// optional is the node of a parameter, nil where the configuration has none of that name.
func (m *Model) optional(g *graph.Graph, name string) *graph.Node {
	if m.byName[name] == nil {
		return nil
	}
	return m.p(g, name)
}

func (m *Model) norm(g *graph.Graph, name string, x *graph.Node) *graph.Node {
	return op.LayerNorm(g, x, m.p(g, name+".weight"), m.p(g, name+".bias"), normEps)
}

const normEps = 1e-5

// selfAttention is x + out(attention(qkv(norm(x)))) of x (B, T, C).
func (m *Model) selfAttention(g *graph.Graph, name string, x *graph.Node, o op.AttentionOptions) *graph.Node {
	h := m.linear(g, name+".qkv", m.norm(g, name+".norm", x), op.LinearOptions{})
	return m.linear(g, name+".out", op.SelfAttention(g, h, o), op.LinearOptions{Residual: x})
}

// crossAttention is x + out(attention(q(norm(x)), kv)).
func (m *Model) crossAttention(g *graph.Graph, name string, x, kv *graph.Node) *graph.Node {
	q := m.linear(g, name+".q", m.norm(g, name+".norm", x), op.LinearOptions{})
	h := op.CrossAttention(g, q, kv, op.AttentionOptions{Heads: m.Config.Text.Heads})
	return m.linear(g, name+".out", h, op.LinearOptions{Residual: x})
}

// mlp is x + down(f(up(norm(x)))).
func (m *Model) mlp(g *graph.Graph, name string, x *graph.Node) *graph.Node {
	h := m.linear(g, name+".up", m.norm(g, name+".norm", x), op.LinearOptions{Activation: m.activation()})
	return m.linear(g, name+".down", h, op.LinearOptions{Residual: x})
}

func (m *Model) activation() device.Activation {
	if m.Config.Activation == GELUTanh {
		return device.GELUTanh
	}
	return device.GELUErf
}
