package model

import "cmp"

// Resolve fills in what is 0 and returns the configuration in full. It changes
// nothing that is given, and resolving twice is resolving once. From a width C
// follow C/64+2 layers (at most 12), heads of width 16 (C up to 128), 32 (up to
// 384) or 64, and MLPs of 4 C, or, where they are gated, of 8/3 C rounded up to a
// multiple of 16.
func (c Config) Resolve() Config {
	c.Width = cmp.Or(c.Width, 64)
	c.Activation = cmp.Or(c.Activation, GELU)
	c.Text = c.Text.resolve(c)
	if c.LoRA != nil {
		c.LoRA = c.LoRA.resolve()
	}
	if c.Score != nil {
		c.Score = c.Score.resolve()
	}
	if !c.images() {
		return c
	}
	c.Vision = c.Vision.resolve(c)
	if c.Kind == VLM {
		c.Projector = c.Projector.resolve(c.Vision)
		return c
	}
	c.Embed = cmp.Or(c.Embed, c.Width)
	if c.Kind == CLIP {
		c.Loss = cmp.Or(c.Loss, Softmax)
		if c.Loss == Sigmoid {
			c.LogitBias = cmp.Or(c.LogitBias, -10)
		}
	}
	return c
}

// images tells whether the model has an image tower.
func (c Config) images() bool { return c.Kind != LM }

// projectsImages tells whether pooled images are projected to the common space.
func (c Config) projectsImages() bool {
	return !c.decoder() && c.Vision.Form != SigLIPVision
}

// decoder tells whether the text tower is a decoder and nothing else.
func (c Config) decoder() bool { return c.Kind == LM || c.Kind == VLM }

// shape are the defaults of a form.
type shape struct {
	norm     Norm
	eps      float64
	position Position
	theta    float64
	mlp      MLP
	bias     Bias
}

func (f Form) shape() shape {
	switch f {
	case Llama:
		return shape{RMSNorm, 1e-5, Rotary, 1e4, Gated, NoBias}
	case Qwen2:
		return shape{RMSNorm, 1e-6, Rotary, 1e6, Gated, QKVBias}
	default:
		return shape{LayerNorm, 1e-5, Learned, 1e4, Plain, AllBias}
	}
}

func (t Text) resolve(c Config) Text {
	t.Form = cmp.Or(t.Form, GPT2)
	s := t.Form.shape()
	t.Norm = cmp.Or(t.Norm, s.norm)
	t.NormEps = cmp.Or(t.NormEps, s.eps)
	t.Position = cmp.Or(t.Position, s.position)
	t.MLP = cmp.Or(t.MLP, s.mlp)
	t.Bias = cmp.Or(t.Bias, s.bias)
	activation, hidden := c.Activation, 4
	if t.MLP == Gated {
		activation = SiLU
	}
	t.Activation = cmp.Or(t.Activation, activation)
	t.Width = cmp.Or(t.Width, c.Width)
	t.Layers = cmp.Or(t.Layers, layersOf(t.Width))
	t.Heads = cmp.Or(t.Heads, headsOf(t.Width))
	t.KVHeads = cmp.Or(t.KVHeads, t.Heads)
	if t.Heads > 0 && t.Width%t.Heads == 0 {
		t.HeadWidth = cmp.Or(t.HeadWidth, t.Width/t.Heads)
	}
	hidden *= t.Width
	if t.MLP == Gated {
		hidden = (8*t.Width/3 + 15) / 16 * 16
	}
	t.Hidden = cmp.Or(t.Hidden, hidden)
	t.Pool = cmp.Or(t.Pool, Mean)
	if t.Position == Rotary {
		t.Rope.Theta = cmp.Or(t.Rope.Theta, s.theta)
		t.Rope.Scaling = t.Rope.Scaling.resolve(t.Context)
	}
	if t.Experts != nil {
		t.Experts = t.Experts.resolve(t.Hidden)
	}
	t.Special = t.Special.resolve()
	tokenStd := 0.1
	if c.decoder() {
		tokenStd = 0.02
	}
	t.TokenStd = cmp.Or(t.TokenStd, tokenStd)
	t.PositionStd = cmp.Or(t.PositionStd, 0.02)
	return t
}

// resolve gives the default ids where only the image's is given, if any.
func (s Special) resolve() Special {
	image := s.Image
	s.Image = 0
	s = cmp.Or(s, DefaultSpecial())
	s.Image = image
	return s
}

func (v Vision) resolve(c Config) Vision {
	v.Form = cmp.Or(v.Form, ViT)
	pool, activation, eps, positionStd := Mean, c.Activation, 1e-5, 0.1
	switch v.Form {
	case CLIPVision:
		v.PreNorm, v.NoPatchBias = true, true
		pool, activation, positionStd = First, QuickGELU, 0.02
	case SigLIPVision:
		pool, activation, eps, positionStd = Attention, GELUTanh, 1e-6, 0.02
	case MoonViT:
		activation, positionStd = GELUTanh, 0.02
	case ViT: // as above
	}
	v.Pool = cmp.Or(v.Pool, pool)
	v.Activation = cmp.Or(v.Activation, activation)
	v.NormEps = cmp.Or(v.NormEps, eps)
	v.PositionStd = cmp.Or(v.PositionStd, positionStd)
	if s, patch, ok := parseSize(v.Size); ok {
		v.Patch = cmp.Or(v.Patch, patch)
		v.Width = cmp.Or(v.Width, s.width)
		v.Layers = cmp.Or(v.Layers, s.layers)
		v.Heads = cmp.Or(v.Heads, s.heads)
		v.Hidden = cmp.Or(v.Hidden, s.hidden)
	}
	v.Patch = cmp.Or(v.Patch, 4)
	v.Width = cmp.Or(v.Width, c.Width)
	v.Layers = cmp.Or(v.Layers, layersOf(v.Width))
	v.Heads = cmp.Or(v.Heads, headsOf(v.Width))
	v.Hidden = cmp.Or(v.Hidden, 4*v.Width)
	if v.Form == MoonViT {
		v.Rope.Theta = cmp.Or(v.Rope.Theta, 1e4)
		v.Grid = cmp.Or(v.Grid, max(v.Image/max(v.Patch, 1), 1))
		v.Side = cmp.Or(v.Side, 8*v.Grid)
	}
	return v
}

func (p Projector) resolve(v Vision) Projector {
	p.Merge = cmp.Or(p.Merge, 2)
	p.Hidden = cmp.Or(p.Hidden, p.Merge*p.Merge*v.Width)
	p.Activation = cmp.Or(p.Activation, GELU)
	p.NormEps = cmp.Or(p.NormEps, 1e-5)
	return p
}

func layersOf(width int) int { return min(max(width/64+2, 2), 12) }

func headsOf(width int) int {
	head := 64
	switch {
	case width <= 128:
		head = 16
	case width <= 384:
		head = 32
	}
	return max(width/head, 1)
}
