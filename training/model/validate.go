package model

import (
	"errors"
	"fmt"
	"math"
)

// Validate returns all faults of a resolved configuration at once.
func (c Config) Validate() error {
	var f faults
	f.oneOf("kind", string(c.Kind), string(CLIP), string(BLIP), string(LM), string(VLM))
	f.activation("activation", c.Activation)
	c.Text.validate(&f)
	if !c.decoder() {
		f.positive("embed", c.Embed)
		c.Text.validateEncoder(&f, c.Kind)
	}
	if c.images() {
		c.Vision.validate(&f)
	}
	c.validateKind(&f)
	if c.Score != nil {
		c.Score.validate(&f, c)
	}
	if f.none() && c.LoRA != nil {
		base := c
		base.LoRA = nil
		c.LoRA.validate(&f, base.Params())
	}
	if f.none() && c.parameters() > maxParameters {
		f.add("the model has %d parameters, more than the %d that are supported: lower width or text.vocab", c.parameters(), maxParameters)
	}
	return f.err()
}

// maxParameters keeps a mistyped size from being allocated.
const maxParameters = 4 << 30

// validateKind checks what only some kinds have.
func (c Config) validateKind(f *faults) {
	if c.Kind == CLIP {
		f.oneOf("loss", string(c.Loss), string(Softmax), string(Sigmoid))
		if !c.projectsImages() && c.Embed != c.Vision.Width {
			f.add("embed is %d: vision.form %s does not project, so it must be vision.width, %d", c.Embed, c.Vision.Form, c.Vision.Width)
		}
	} else if c.Loss != "" {
		f.add("loss is for clip: remove it")
	}
	if c.Loss != Sigmoid && c.LogitBias != 0 || !(math.Abs(c.LogitBias) <= 100) {
		f.add("logit_bias is %v: it is for the loss sigmoid, and between -100 and 100", c.LogitBias)
	}
	if c.Kind == BLIP {
		if c.Text.Causal {
			f.add("text.causal is for clip: blip has an encoder that looks both ways and a decoder; remove it")
		}
		if c.Vision.Form == SigLIPVision || c.Vision.Form == MoonViT {
			f.add("vision.form is %q: blip takes vit or clip", c.Vision.Form)
		}
	}
	if c.Kind != VLM {
		if c.Projector != (Projector{}) {
			f.add("projector is for vlm: remove it")
		}
		if c.Text.Special.Image != 0 {
			f.add("text.special.image is for vlm: remove it")
		}
		return
	}
	c.Projector.validate(f, c.Vision)
	if s := c.Text.Special; s.Image <= 0 || s.Image == s.Pad || s.Image == s.BOS || s.Image == s.EOS {
		f.add("text.special.image is %d: give the id of a token of its own that stands for an image", s.Image)
	}
}

func (v Vision) validate(f *faults) {
	f.oneOf("vision.form", string(v.Form), string(ViT), string(CLIPVision), string(SigLIPVision), string(MoonViT))
	if _, _, ok := parseSize(v.Size); v.Size != "" && !ok {
		f.add("vision.size is %q: use one of %q, a slash and the side of a patch, such as \"B/16\"", v.Size, Sizes())
	}
	f.positive("vision.image", v.Image)
	f.positive("vision.patch", v.Patch)
	if v.Patch > 0 && v.Image > 0 && v.Image%v.Patch != 0 {
		f.add("vision.image is %d, not a multiple of vision.patch, %d: change one of them", v.Image, v.Patch)
	}
	f.tower("vision", v.Width, v.Layers, v.Heads, v.Hidden)
	if v.Heads > 0 && v.Width%v.Heads != 0 {
		f.add("vision.width is %d, not a multiple of vision.heads, %d: change one of them", v.Width, v.Heads)
	}
	f.oneOf("vision.pool", string(v.Pool), string(Mean), string(First), string(Attention))
	f.std("vision.position_std", v.PositionStd)
	for i := range v.Mean {
		if given := v.Mean != [3]float64{} || v.Std != [3]float64{}; given && !(v.Std[i] > 0 && math.Abs(v.Mean[i]) <= 1e3) {
			f.add("vision.mean is %v and vision.std %v: give three numbers each, those of std positive, or neither", v.Mean, v.Std)
			break
		}
	}
	f.eps("vision.norm_eps", v.NormEps)
	f.activation("vision.activation", v.Activation)
	if v.Form != MoonViT {
		if v.Grid != 0 || v.Side != 0 || v.Rope != (Rope{}) {
			f.add("vision.grid, vision.side and vision.rope are for form moonvit: remove them")
		}
		return
	}
	v.validateNative(f)
}

// validateNative checks what only moonvit has.
func (v Vision) validateNative(f *faults) {
	f.positive("vision.grid", v.Grid)
	f.positive("vision.side", v.Side)
	f.theta("vision.rope.theta", v.Rope.Theta)
	if v.Rope.Scaling != (Scaling{}) {
		f.add("vision.rope.scaling is for texts: remove it")
	}
	if v.Pool != Mean {
		f.add("vision.pool is %q: moonvit has mean only", v.Pool)
	}
	if v.Heads > 0 && v.Width/v.Heads%4 != 0 {
		f.add("vision.width is %d with %d heads: moonvit needs heads whose width is a multiple of 4", v.Width, v.Heads)
	}
	if v.Patch > 0 && v.Image/v.Patch > v.Side {
		f.add("vision.image is %d, more than vision.side, %d patches: raise vision.side", v.Image, v.Side)
	}
}

func (p Projector) validate(f *faults, v Vision) {
	f.positive("projector.merge", p.Merge)
	f.positive("projector.hidden", p.Hidden)
	f.activation("projector.activation", p.Activation)
	f.eps("projector.norm_eps", p.NormEps)
	if p.Merge > 0 && v.Patch > 0 && v.Image/v.Patch%p.Merge != 0 {
		f.add("an image has %d patches along a side, not a multiple of projector.merge, %d: set it to 1, or change vision.image", v.Image/v.Patch, p.Merge)
	}
}

func (t Text) validate(f *faults) {
	f.oneOf("text.form", string(t.Form), string(GPT2), string(Llama), string(Qwen2))
	f.positive("text.vocab", t.Vocab)
	f.positive("text.context", t.Context)
	f.tower("text", t.Width, t.Layers, t.Heads, t.Hidden)
	t.validateHeads(f)
	f.oneOf("text.pool", string(t.Pool), string(Mean), string(First), string(Last), string(End))
	f.oneOf("text.norm", string(t.Norm), string(LayerNorm), string(RMSNorm))
	f.oneOf("text.position", string(t.Position), string(Learned), string(Rotary))
	f.oneOf("text.mlp", string(t.MLP), string(Plain), string(Gated))
	f.oneOf("text.bias", string(t.Bias), string(AllBias), string(QKVBias), string(NoBias))
	f.activation("text.activation", t.Activation)
	if t.MLP == Gated && t.Activation != SiLU {
		f.add("text.activation is %q: a gated MLP has silu", t.Activation)
	}
	f.std("text.token_std", t.TokenStd)
	f.std("text.position_std", t.PositionStd)
	f.eps("text.norm_eps", t.NormEps)
	for _, id := range []int32{t.Special.Pad, t.Special.BOS, t.Special.EOS, t.Special.ENC, t.Special.Image} {
		if id < 0 || int(id) >= t.Vocab {
			f.add("text.special has the id %d, outside the vocabulary of %d: give ids of the tokenizer", id, t.Vocab)
		}
	}
	if t.Experts != nil {
		t.Experts.validate(f, t)
	}
}

// validateHeads checks how the width is cut into heads, and positions that turn them.
func (t Text) validateHeads(f *faults) {
	if t.Heads > 0 && t.HeadWidth == 0 && t.Width%t.Heads != 0 {
		f.add("text.width is %d, not a multiple of text.heads, %d: change one of them, or give text.head_width", t.Width, t.Heads)
	} else {
		f.positive("text.head_width", t.HeadWidth)
	}
	f.positive("text.kv_heads", t.KVHeads)
	if t.KVHeads > 0 && t.Heads%t.KVHeads != 0 {
		f.add("text.heads is %d, not a multiple of text.kv_heads, %d: change one of them", t.Heads, t.KVHeads)
	}
	if t.Position != Rotary {
		if t.Rope != (Rope{}) {
			f.add("text.rope is for text.position rope: remove it")
		}
		return
	}
	f.theta("text.rope.theta", t.Rope.Theta)
	t.Rope.Scaling.validate(f)
	if t.HeadWidth%2 != 0 || t.HeadWidth < 4 && t.Rope.Scaling.Type == DynamicNTK {
		f.add("text.head_width is %d: rotary positions need an even one, dynamic ones 4 or more", t.HeadWidth)
	}
}

// validateEncoder holds the text tower of clip and blip to the form that they have.
func (t Text) validateEncoder(f *faults, kind Kind) {
	if t.Norm != LayerNorm || t.Position != Learned || t.MLP != Plain || t.Bias != AllBias || t.KVHeads != t.Heads || t.HeadWidth*t.Heads != t.Width && t.HeadWidth > 0 {
		f.add("the text tower of %s has the form gpt2, with full heads: remove text.form and its parts, or use the kind lm or vlm", kind)
	}
	if t.Experts != nil {
		f.add("text.experts is for lm and vlm: remove it")
	}
	if t.Pool == End && kind != CLIP {
		f.add("text.pool is end: it is for clip; use first, last or mean")
	}
}

// faults collects what is wrong.
type faults []error

func (f *faults) none() bool { return len(*f) == 0 }
func (f *faults) err() error { return errors.Join(*f...) }

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) positive(name string, v int) {
	if v < 1 || v > 1<<24 {
		f.add("%s is %d: give a number from 1 to %d", name, v, 1<<24)
	}
}

func (f *faults) oneOf(name, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			return
		}
	}
	f.add("%s is %q: use one of %q", name, v, allowed)
}

func (f *faults) activation(name string, a Activation) {
	f.oneOf(name, string(a), string(GELU), string(GELUTanh), string(QuickGELU), string(SiLU))
}

func (f *faults) std(name string, v float64) {
	if !(v > 0 && v <= 10) {
		f.add("%s is %v: give a standard deviation, such as 0.02", name, v)
	}
}

func (f *faults) eps(name string, v float64) {
	if !(v > 0 && v < 1) {
		f.add("%s is %v: give a small positive number, such as 1e-5", name, v)
	}
}

func (f *faults) theta(name string, v float64) {
	if !(v > 1 && v <= 1e12) {
		f.add("%s is %v: give a base above 1, such as 10000", name, v)
	}
}

func (f *faults) tower(name string, width, layers, heads, hidden int) {
	f.positive(name+".width", width)
	f.positive(name+".layers", layers)
	f.positive(name+".heads", heads)
	f.positive(name+".hidden", hidden)
}
