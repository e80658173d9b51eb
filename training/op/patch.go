package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// PatchEmbed is a convolution whose stride is its kernel: images (B, 3, H, W) are cut into patches of patch x patch pixels, row by row, and each
// is projected by w (3 patch patch, C) with b (C) or nil: (B, P, C). It is Patchify followed by Linear.
func PatchEmbed(g *graph.Graph, images, w, b *graph.Node, patch int) *graph.Node {
	return Linear(g, Patchify(g, images, patch), w, b, LinearOptions{})
}

// Patchify cuts images (B, channels, height, width) into (B, P, channels patch patch); a row runs channel by channel, each row by row.
//
// Saved: nothing.
func Patchify(g *graph.Graph, images *graph.Node, patch int) *graph.Node {
	return g.Apply(&patchify{args: device.PatchifyArgs{Patch: patch}}, images)
}

type patchify struct{ args device.PatchifyArgs }

func (p *patchify) Name() string { return "patchify" }

func (p *patchify) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "f"), rank(in[0], "images", 4)); err != nil {
		return device.Desc{}, err
	}
	s, n := in[0].Shape, p.args.Patch
	if n < 1 || s[2]%n != 0 || s[3]%n != 0 {
		return device.Desc{}, fmt.Errorf("images of %d x %d are not whole patches of %d", s[2], s[3], n)
	}
	p.args.B, p.args.Channels, p.args.Height, p.args.Width = s[0], s[1], s[2], s[3]
	return device.Floats(s[0], s[2]/n*(s[3]/n), s[1]*n*n), nil
}

func (p *patchify) Forward(c *graph.Call) {
	a := p.args
	a.Images, a.Patches = c.In[0], c.Out
	c.Backend.Patchify(a)
}

func (p *patchify) Wrt() []bool { return []bool{true} }

func (p *patchify) Backprop(r graph.Request) graph.Backprop {
	if r.Add[0] {
		return graph.Backprop{Scratch: []device.Desc{r.In[0]}}
	}
	return graph.Backprop{}
}

func (p *patchify) Backward(c *graph.Call) {
	a := p.args
	a.Images, a.Patches = c.DIn[0], c.DOut
	if c.Add[0] {
		a.Images = c.Scratch[0]
	}
	c.Backend.Unpatchify(a)
	if c.Add[0] {
		c.Backend.Add(c.DIn[0], c.DIn[0], a.Images)
	}
}
