package network

import (
	"errors"
	"fmt"

	"tempera/training/kernel"
	"tempera/training/model"
)

// Network is the weights of a decoder. It is read-only after New and may be shared.
type Network struct {
	Config model.Config
	engine *kernel.Engine

	token    []float32         // (V, C)
	position []float32         // (T, C); nil where positions turn
	rope     *kernel.RoPETable // nil where positions are learned
	layers   []layer
	final    norm
	head     linear
	bytes    int64 // of packed matrices
}

// norm, linear and layer are the parameters of package model's parts of the same names.
type norm struct{ weight, bias []float32 } // RMS norms have no bias

type linear struct {
	weight  *kernel.PackedB
	bias    []float32 // nil: none
	in, out int
}

type layer struct {
	causal   norm
	qkv, out linear
	cross    *cross // nil: no images
	mlp      norm
	up, down linear   // up holds gates, then ups, where the MLP is gated
	experts  *experts // nil: dense; up and down are then those of the shared experts, if any
}

type cross struct {
	norm       norm
	q, kv, out linear
}

// New packs the weights of a resolved configuration of a kind that has a decoder: blip, lm or vlm. get returns a parameter by name:
// (*model.Weights).Get. Low-rank changes are merged into the weights. Parameters of packed matrices may be changed or freed afterwards; norms,
// biases and tables are kept.
func New(e *kernel.Engine, c model.Config, get func(name string) ([]float32, error)) (*Network, error) {
	if err := decodes(c); err != nil {
		return nil, err
	}
	n := &Network{Config: c, engine: e}
	l := newLoader(e, c, get)
	t := c.Text
	n.token = l.values("text.token", t.Vocab*t.Width)
	if t.Position == model.Rotary {
		n.rope = kernel.NewRoPETable(rotation(t))
	} else {
		n.position = l.values("text.position", t.Context*t.Width)
	}
	for i := range t.Layers {
		n.layers = append(n.layers, l.layer(fmt.Sprintf("text.blocks.%d", i), i))
	}
	n.final = l.norm("text.norm")
	if t.TieHead {
		n.head = linear{in: t.Width, out: t.Vocab, bias: l.optional("text.head.bias", t.Vocab)}
		n.head.weight = l.pack(kernel.PackBArgs{K: t.Width, N: t.Vocab, B: n.token, TransB: true})
	} else {
		n.head = l.linear("text.head", t.Width, t.Vocab)
	}
	if _, ok := activations[t.Activation]; !ok {
		l.faults = append(l.faults, fmt.Errorf("decoding does not know the activation %s", t.Activation))
	}
	if err := errors.Join(l.faults...); err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	n.bytes = l.bytes
	return n, nil
}

// Bytes is the memory of the packed matrices. What is kept of the parameters is not part of it.
func (n *Network) Bytes() int64 { return n.bytes }

// StepBytes is the memory of a forward pass over rows tokens that asks for the logits of some.
func (n *Network) StepBytes(rows, asked int) int64 {
	t := n.Config.Text
	q, k := n.heads()
	hidden := 0
	for _, l := range n.layers {
		hidden = max(hidden, l.up.out)
	}
	return 4 * (int64(rows)*int64(t.Width+max(t.Width, q)+q+2*k+hidden+2) + int64(asked)*int64(t.Width+t.Vocab))
}

// heads is the width of all query heads, and of all key heads.
func (n *Network) heads() (query, key int) {
	t := n.Config.Text
	return t.Heads * t.HeadWidth, t.KVHeads * t.HeadWidth
}

// decodes finds what is wrong with a configuration whose decoder is to write.
func decodes(c model.Config) error {
	if c.Kind != model.BLIP && c.Kind != model.LM && c.Kind != model.VLM {
		return fmt.Errorf("load decoder: a %s model has no decoder: use blip, lm or vlm", c.Kind)
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("load decoder: %w", err)
	}
	return nil
}

// rotation is the positions of the whole context.
func rotation(t model.Text) kernel.RoPESpec {
	r := t.Rotation()
	positions := make([]int32, t.Context)
	for i := range positions {
		positions[i] = int32(i)
	}
	return kernel.RoPESpec{Width: t.HeadWidth, Frequencies: r.Frequencies, Magnitude: r.Magnitude, Rows: positions}
}

// ImageTokens is the number of states that an image has where the decoder attends to images; 0 where it does not.
func ImageTokens(c model.Config) int {
	if c.Kind != model.BLIP {
		return 0
	}
	return c.Vision.Tokens()
}

var activations = map[model.Activation]kernel.Activation{
	model.GELU: kernel.GELUErf, model.GELUTanh: kernel.GELUTanh, model.QuickGELU: kernel.QuickGELU, model.SiLU: kernel.SiLU,
}
