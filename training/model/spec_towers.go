package model

import "fmt"

func (v Vision) list(l *lister, kind Kind) {
	patch := 3 * v.Patch * v.Patch
	l.product("vision.patch", patch, v.Width, 1)
	if !v.NoPatchBias {
		l.constant("vision.patch.bias", 0, v.Width)
	}
	if v.ClassToken() {
		l.normal("vision.class", v.PositionStd, v.Width)
	}
	l.normal("vision.position", v.PositionStd, v.positions(), v.Width)
	if v.PreNorm {
		l.norm("vision.pre_norm", v.Width)
	}
	for i := range v.Layers {
		block := fmt.Sprintf("vision.blocks.%d", i)
		l.self(block+".self", v.Width)
		l.mlp(block+".mlp", v.Width, v.Hidden)
	}
	l.norm("vision.norm", v.Width)
	if v.Pool == Attention && kind != VLM {
		l.normal("vision.pool.probe", v.PositionStd, v.Width)
		l.linear("vision.pool.q", v.Width, v.Width, 1)
		l.linear("vision.pool.kv", v.Width, 2*v.Width, 1)
		l.linear("vision.pool.out", v.Width, v.Width, attentionGain)
		l.mlp("vision.pool.mlp", v.Width, v.Hidden)
	}
}

// positions is the number of learned positions.
func (v Vision) positions() int {
	if v.Form == MoonViT {
		return v.Grid * v.Grid
	}
	return v.Tokens()
}

func (p Projector) list(l *lister, c Config) {
	l.norm("projector.norm", c.Vision.Width)
	l.linear("projector.up", p.Merge*p.Merge*c.Vision.Width, p.Hidden, 1)
	l.linear("projector.down", p.Hidden, c.Text.Width, 1)
}

func (t Text) list(l *lister, c Config) {
	l.normal("text.token", t.TokenStd, t.Vocab, t.Width)
	if t.Position == Learned {
		l.normal("text.position", t.PositionStd, t.Context, t.Width)
	}
	for i := range t.Layers {
		block := fmt.Sprintf("text.blocks.%d", i)
		if !c.decoder() {
			l.self(block+".self", t.Width)
		}
		if c.Kind != CLIP {
			t.listCausal(l, block+".causal")
		}
		if c.Kind == BLIP {
			l.cross(block+".cross", t.Width, c.Vision.Width)
		}
		t.listMLP(l, block+".mlp", i)
	}
	t.listNorm(l, "text.norm")
	if c.Kind == CLIP {
		return
	}
	if !t.TieHead {
		l.product("text.head", t.Width, t.Vocab, 1)
	}
	if c.Kind == BLIP {
		l.constant("text.head.bias", 0, t.Vocab)
	}
}

func (t Text) listNorm(l *lister, name string) {
	l.constant(name+weightSuffix, 1, t.Width)
	if t.Norm == LayerNorm {
		l.constant(name+biasSuffix, 0, t.Width)
	}
}

func (t Text) listCausal(l *lister, name string) {
	t.listNorm(l, name+".norm")
	qkv := (t.Heads + 2*t.KVHeads) * t.HeadWidth
	l.product(name+".qkv", t.Width, qkv, 1)
	if t.Bias != NoBias {
		l.constant(name+".qkv.bias", 0, qkv)
	}
	t.listLinear(l, name+".out", shapeOf{t.Heads * t.HeadWidth, t.Width, attentionGain})
}

// shapeOf is a linear layer's input and output width and its initial gain.
type shapeOf struct {
	in, out int
	gain    float64
}

// listLinear lists a linear layer whose bias the form decides.
func (t Text) listLinear(l *lister, name string, s shapeOf) {
	l.product(name, s.in, s.out, s.gain)
	if t.Bias == AllBias {
		l.constant(name+biasSuffix, 0, s.out)
	}
}

func (t Text) listMLP(l *lister, name string, layer int) {
	t.listNorm(l, name+".norm")
	switch {
	case t.Sparse(layer):
		t.Experts.list(l, name, t.Width)
	case t.MLP == Gated:
		t.listLinear(l, name+".gate_up", shapeOf{t.Width, 2 * t.Hidden, 1})
		t.listLinear(l, name+".down", shapeOf{t.Hidden, t.Width, 1})
	default:
		t.listLinear(l, name+".up", shapeOf{t.Width, t.Hidden, 1})
		t.listLinear(l, name+".down", shapeOf{t.Hidden, t.Width, 1})
	}
}

func (e Experts) list(l *lister, name string, width int) {
	l.normal(name+".router.weight", fanIn(width), width, e.Count)
	l.constant(name+".router.balance", 0, e.Count)
	l.specs[len(l.specs)-1].state = true
	l.normal(name+".experts.gate_up", fanIn(width), e.Count, width, 2*e.Hidden)
	l.normal(name+".experts.down", fanIn(e.Hidden), e.Count, e.Hidden, width)
	if e.Shared > 0 {
		l.product(name+".shared.gate_up", width, 2*e.Shared*e.Hidden, 1)
		l.product(name+".shared.down", e.Shared*e.Hidden, width, 1)
	}
}

// extend adds the matrices of LoRA after the weights that they change.
func (l LoRA) extend(base []Spec) []Spec {
	var out []Spec
	for _, s := range base {
		out = append(out, s)
		layer := s.Name[:max(len(s.Name)-len(weightSuffix), 0)]
		if !s.linear || !l.targets(layer) {
			continue
		}
		in, width := s.Shape[0], s.Shape[1]
		out = append(out,
			Spec{Name: layer + loraA, Shape: []int{in, l.Rank}, init: initial{std: fanIn(in)}},
			Spec{Name: layer + loraB, Shape: []int{l.Rank, width}})
	}
	return out
}
