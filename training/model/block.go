package model

import (
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// linear is x W + b of the layer called name, as LoRA changes it; not every layer has b.
func (m *Model) linear(g *graph.Graph, name string, x *graph.Node, o op.LinearOptions) *graph.Node {
	if a := m.optional(g, name+loraA); a != nil {
		o.LoRA = &op.LoRA{A: a, B: m.p(g, name+loraB), Scale: float32(m.Config.LoRA.Scale())}
	}
	return op.Linear(g, x, m.p(g, name+weightSuffix), m.optional(g, name+biasSuffix), o)
}

// optional is the node of a parameter, nil where the configuration has none of that name.
func (m *Model) optional(g *graph.Graph, name string) *graph.Node {
	if m.byName[name] == nil {
		return nil
	}
	return m.p(g, name)
}

// tower is a model with what the layers of one of its towers have in common.
type tower struct {
	*Model
	norms      Norm
	eps        float64
	mlps       MLP
	activation device.Activation
}

func (m *Model) textTower() tower {
	t := m.Config.Text
	return tower{m, t.Norm, t.NormEps, t.MLP, t.Activation.function()}
}

func (m *Model) visionTower() tower {
	v := m.Config.Vision
	return tower{m, LayerNorm, v.NormEps, Plain, v.Activation.function()}
}

// function is the device's name of an activation.
func (a Activation) function() device.Activation {
	switch a {
	case GELUTanh:
		return device.GELUTanh
	case QuickGELU:
		return device.QuickGELU
	case SiLU:
		return device.SiLU
	default:
		return device.GELUErf
	}
}

func (t tower) norm(g *graph.Graph, name string, x *graph.Node) *graph.Node {
	w := t.p(g, name+weightSuffix)
	if t.norms == RMSNorm {
		return op.RMSNorm(g, x, w, float32(t.eps))
	}
	return op.LayerNorm(g, x, w, t.p(g, name+biasSuffix), float32(t.eps))
}

// attend is how queries and keys of a self-attention meet.
type attend struct {
	op.AttentionOptions
	rope *op.RoPEOptions // nil: positions are not rotary
}

// selfAttention is x + out(attention(rope(qkv(norm(x))))) of x (B, T, C).
func (t tower) selfAttention(g *graph.Graph, name string, x *graph.Node, a attend) *graph.Node {
	h := t.linear(g, name+".qkv", t.norm(g, name+".norm", x), op.LinearOptions{})
	if a.rope != nil {
		h = op.RoPE(g, h, *a.rope)
	}
	return t.linear(g, name+".out", op.SelfAttention(g, h, a.AttentionOptions), op.LinearOptions{Residual: x})
}

// crossAttention is x + out(attention(q(norm(x)), kv)).
func (t tower) crossAttention(g *graph.Graph, name string, x, kv *graph.Node) *graph.Node {
	q := t.linear(g, name+".q", t.norm(g, name+".norm", x), op.LinearOptions{})
	h := op.CrossAttention(g, q, kv, op.AttentionOptions{Heads: t.Config.Text.Heads})
	return t.linear(g, name+".out", h, op.LinearOptions{Residual: x})
}

// mlp is x + down(f(up(norm(x)))), or with a gate x + down(silu(gate) up).
func (t tower) mlp(g *graph.Graph, name string, x *graph.Node) *graph.Node {
	h := t.norm(g, name+".norm", x)
	if t.mlps == Gated {
		h = t.gated(g, name, h)
	} else {
		h = t.linear(g, name+".up", h, op.LinearOptions{Activation: t.activation})
	}
	return t.linear(g, name+".down", h, op.LinearOptions{Residual: x})
}

// gated is silu(gate) up of both products in one.
func (t tower) gated(g *graph.Graph, name string, x *graph.Node) *graph.Node {
	return op.SwiGLU(g, t.linear(g, name+".gate_up", x, op.LinearOptions{}), nil)
}
