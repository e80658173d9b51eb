package emoji

import (
	"image"
	"math/rand/v2"

	"tempera/datagen/picture"
)

// layout is a picture before it is drawn.
type layout struct {
	style   string
	icons   []placed
	content Content
}

// placed is one emoji with its top left corner and side, in pixels.
type placed struct {
	concept    Concept
	x, y, size int
}

// plan chooses what picture i shows, and where.
func (s *Source) plan(i int, rng *rand.Rand) layout {
	p := &s.params
	if p.Mode == "single" {
		c := s.concepts[i/len(p.Styles)%len(s.concepts)]
		return layout{
			style:   p.Styles[i%len(p.Styles)],
			icons:   []placed{{concept: c, size: p.Image}},
			content: Content{Concepts: []string{c.Name}},
		}
	}
	n := 1
	if p.MaxEmoji > 1 && rng.IntN(100) < p.Pairs {
		n = 2 + rng.IntN(p.MaxEmoji-1)
	}
	l := layout{style: p.Styles[rng.IntN(len(p.Styles))]}
	for _, c := range rng.Perm(len(s.concepts))[:n] {
		l.icons = append(l.icons, placed{concept: s.concepts[c]})
		l.content.Concepts = append(l.content.Concepts, s.concepts[c].Name)
	}
	if n == 1 {
		size := p.IconMin + rng.IntN(p.IconMax-p.IconMin+1)
		l.icons[0].x, l.icons[0].y, l.icons[0].size = rng.IntN(p.Image-size+1), rng.IntN(p.Image-size+1), size
		return l
	}
	s.arrange(&l, rng)
	return l
}

// arrange puts the first two emoji side by side or on top of each other, nearly
// in line, and a third into the half that they leave free.
func (s *Source) arrange(l *layout, rng *rand.Rand) {
	n, size := s.params.Image, s.params.IconMin
	across := n - size // where an icon may start, across the line of the two
	nudge := n * 3 / 32
	a := rng.IntN(across + 1)
	b := min(across, max(0, a+rng.IntN(2*nudge+1)-nudge))
	third := 0
	if len(l.icons) == 3 {
		a, b, third = 0, 0, n-size
		if rng.IntN(2) == 0 {
			a, b, third = n-size, n-size, 0
		}
	}
	slack := n - 2*size // along the line
	low := rng.IntN(slack + 1)
	high := n - size - rng.IntN(slack-low+1)
	l.content.Relation = sides[rng.IntN(len(sides))]
	first, second := [2]int{low, a}, [2]int{high, b}
	if l.content.Relation == "right" || l.content.Relation == "below" {
		first, second = second, first
	}
	level := l.content.Relation == "left" || l.content.Relation == "right"
	spots := [][2]int{first, second, {rng.IntN(across + 1), third}} // along and across
	for i := range l.icons {
		along, cross := spots[i][0], spots[i][1]
		if level {
			l.icons[i].x, l.icons[i].y = along, cross
		} else {
			l.icons[i].x, l.icons[i].y = cross, along
		}
		l.icons[i].size = size
	}
}

// render draws a layout: collages on a bright tinted ground, dimmed a little
// and with noise of 16/1000 of full scale; single emoji on white.
func (s *Source) render(l layout, rng *rand.Rand) (*picture.RGB, error) {
	n := s.params.Image
	img := picture.New(n, n)
	ground := [3]byte{255, 255, 255}
	if s.params.Mode == "collage" {
		for c := range ground {
			ground[c] = byte(200 + rng.IntN(56))
		}
	}
	for i := range n * n {
		copy(img.Pix[3*i:], ground[:])
	}
	for _, at := range l.icons {
		icon, err := s.drawings.icon(at.concept, l.style, at.size)
		if err != nil {
			return nil, err
		}
		paste(img, icon, at)
	}
	if s.params.Mode == "collage" {
		brightness := 850 + rng.IntN(151)
		for i, v := range img.Pix {
			img.Pix[i] = byte((int(v)*brightness + 500) / 1000)
		}
		img.AddNoise(16, rng)
	}
	return img, nil
}

// paste lays an icon with premultiplied alpha over the image.
func paste(img *picture.RGB, icon *image.RGBA, at placed) {
	for y := range at.size {
		for x := range at.size {
			src := icon.Pix[y*icon.Stride+4*x:]
			dst := img.Pix[3*((at.y+y)*img.W+at.x+x):]
			for c := range 3 {
				dst[c] = byte(min(255, int(src[c])+(int(dst[c])*(255-int(src[3]))+127)/255))
			}
		}
	}
}
