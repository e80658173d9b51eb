package scenes

import (
	"math/rand/v2"

	"tempera/datagen/picture"
)

// unit is the fineness of the canvas for drawing: a step has 40 units, so that
// all proportions of the shapes below are whole numbers of units.
const unit = 40

// inside says whether the point (dx, dy), in units from the centre, belongs to
// a shape of radius r steps.
func inside(shape string, dx, dy, r int) bool {
	ax, ay := abs(dx), abs(dy)
	edge := r*unit + 3*unit/10 // a little over the radius, so that small circles are round
	switch shape {
	case "circle":
		return dx*dx+dy*dy <= edge*edge
	case "square":
		return ax <= 36*r && ay <= 36*r // 0.9 r
	case "triangle":
		return dy <= 36*r && dy >= -r*unit && 20*ax <= 11*(dy+r*unit)+20*12 // 0.55 (dy + r) + 0.3 step
	case "cross":
		return ax <= 12*r && ay <= r*unit || ay <= 12*r && ax <= r*unit // 0.3 r
	case "diamond":
		return ax+ay <= edge
	case "ring":
		d := dx*dx + dy*dy
		return d <= edge*edge && d >= 22*r*22*r // 0.55 r
	}
	return false
}

// render draws a scene on a dark tinted ground, with noise on every pixel.
func (p *Params) render(s Scene, rng *rand.Rand) *picture.RGB {
	n := p.Image
	img := picture.New(n, n)
	ground := [3]byte{}
	for c := range ground {
		ground[c] = byte(31 + rng.IntN(24)) // 0.12 to 0.21 of full scale
	}
	for i := range n * n {
		copy(img.Pix[3*i:3*i+3], ground[:])
	}
	for _, o := range s.Objects {
		p.draw(img, o, 850+rng.IntN(151))
	}
	img.AddNoise(p.Noise, rng)
	return img
}

// draw fills an object in its colour at a brightness in 1/1000.
func (p *Params) draw(img *picture.RGB, o Object, brightness int) {
	n, r := p.Image, p.radius(o.Size)
	color := [3]byte{}
	for c, v := range rgb[o.Color] {
		color[c] = byte((v*brightness + 500) / 1000)
	}
	// A pixel's centre lies on the canvas where it lies in the image. On a canvas
	// as wide as the image, a step's centre is a pixel's.
	at := func(pixel int) int { return (2*pixel + 1) * Canvas * unit / (2 * n) }
	first := func(center int) int { return max(0, (center-r-1)*n/Canvas-1) }
	last := func(center int) int { return min(n, (center+r+2)*n/Canvas+2) }
	for y := first(o.Y); y < last(o.Y); y++ {
		dy := at(y) - o.Y*unit - unit/2
		for x := first(o.X); x < last(o.X); x++ {
			if inside(o.Shape, at(x)-o.X*unit-unit/2, dy, r) {
				copy(img.Pix[3*(y*n+x):], color[:])
			}
		}
	}
}
