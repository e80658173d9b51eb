package model

// FLOPs are the floating-point operations of one forward pass over one example,
// a multiplication and an addition being two. Only matrix products count.
type FLOPs struct {
	Image  float64 // vision transformer and projection
	Memory float64 // the keys and values of an image for all text layers
	Text   float64 // text encoder and projection
	Match  float64 // grounded encoder, without Memory
	Decode float64 // decoder and language head, without Memory
}

// FLOPs counts the operations of a resolved configuration.
func (c Config) FLOPs() FLOPs {
	t, v := c.Text, c.Vision
	n := float64(t.Context)
	layer := block(n, float64(t.Width), float64(t.Hidden))
	layers := float64(t.Layers)
	f := FLOPs{
		Text:   layers*layer + 2*float64(t.Width*c.Embed),
		Decode: layers*layer + n*2*float64(t.Width)*float64(t.Vocab),
	}
	if !c.images() {
		f.Text = 0
		return f
	}
	p := float64(v.Tokens())
	f.Image = p*2*float64(3*v.Patch*v.Patch*v.Width) + float64(v.Layers)*block(p, float64(v.Width), float64(v.Hidden)) + 2*float64(v.Width*c.Embed)
	if c.Kind != BLIP {
		return f
	}
	f.Memory = layers * p * 2 * float64(v.Width) * 2 * float64(t.Width)
	cross := layers * (n*2*2*float64(t.Width)*float64(t.Width) + 4*n*p*float64(t.Width))
	f.Match = layers*layer + cross
	f.Decode += cross
	return f
}

// block is a layer of n tokens: four C x C products, two C x F products, and the
// two products of attention.
func block(n, width, hidden float64) float64 {
	return n*2*(4*width*width+2*width*hidden) + 4*n*n*width
}
