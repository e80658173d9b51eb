package model

// FLOPs are the floating-point operations of one forward pass over one example,
// a multiplication and an addition being two. Only matrix products count; of a
// mixture of experts, those that answer.
type FLOPs struct {
	Image   float64 // vision transformer, pooling by attention and projection
	Project float64 // from an image to the tokens of a vlm
	Memory  float64 // the keys and values of an image for all text layers
	Text    float64 // text encoder and projection
	Match   float64 // grounded encoder, without Memory
	Decode  float64 // decoder and language head over a full context, without Memory
}

// FLOPs counts the operations of a resolved configuration.
func (c Config) FLOPs() FLOPs {
	t, v := c.Text, c.Vision
	n := float64(t.Context)
	var layers float64
	for l := range t.Layers {
		layers += t.layerFLOPs(l, n)
	}
	f := FLOPs{Text: layers + product(1, t.Width, c.Embed), Decode: layers + product(n, t.Width, t.Vocab)}
	if c.decoder() {
		f.Text = 0
	}
	if !c.images() {
		return f
	}
	f.Image = v.flops(c)
	if c.Kind == VLM {
		p := c.Projector
		tokens := float64(c.ImageTokens())
		f.Project = product(tokens, p.Merge*p.Merge*v.Width, p.Hidden) + product(tokens, p.Hidden, t.Width)
	}
	if c.Kind != BLIP {
		return f
	}
	p, depth := float64(v.Tokens()), float64(t.Layers)
	f.Memory = depth * product(p, v.Width, 2*t.Width)
	cross := depth * (2*product(n, t.Width, t.Width) + 4*n*p*float64(t.Width))
	f.Match = layers + cross
	f.Decode += cross
	return f
}

// product is a product of n rows with an in x out matrix.
func product(n float64, in, out int) float64 { return 2 * n * float64(in) * float64(out) }

// layerFLOPs is layer l over n tokens.
func (t Text) layerFLOPs(l int, n float64) float64 {
	queries := t.Heads * t.HeadWidth
	attention := product(n, t.Width, queries+2*t.KVHeads*t.HeadWidth) + product(n, queries, t.Width) + 4*n*n*float64(queries)
	switch e := t.Experts; {
	case t.Sparse(l):
		return attention + product(n, t.Width, e.Count) + 3*product(n, t.Width, (e.Active+e.Shared)*e.Hidden)
	case t.MLP == Gated:
		return attention + 3*product(n, t.Width, t.Hidden)
	default:
		return attention + 2*product(n, t.Width, t.Hidden)
	}
}

func (v Vision) flops(c Config) float64 {
	n := float64(v.Tokens())
	block := 4*product(n, v.Width, v.Width) + 4*n*n*float64(v.Width) + 2*product(n, v.Width, v.Hidden)
	f := product(float64(v.Patches()), 3*v.Patch*v.Patch, v.Width) + float64(v.Layers)*block
	if v.Pool == Attention && c.Kind != VLM {
		f += 2*product(1, v.Width, v.Width) + product(n, v.Width, 2*v.Width) + 4*n*float64(v.Width) + 2*product(1, v.Width, v.Hidden)
	}
	if c.projectsImages() {
		f += product(1, v.Width, c.Embed)
	}
	return f
}
