package loader

import (
	"errors"
	"fmt"

	"tempera/datagen/picture"
)

// Native keeps the shapes of images, as models that take any size want them: sides
// are rounded to multiples of Unit, and images that are too large are made smaller.
type Native struct {
	Unit   int // pixels
	Side   int // most units along a side
	Square int // most units of an image
}

func (n Native) validate() error {
	if n.Unit < 1 || n.Side < 1 || n.Square < 1 {
		return fmt.Errorf("native sizes of %d pixels, %d along a side, %d in all: use 1 or more of each", n.Unit, n.Side, n.Square)
	}
	return nil
}

// Fit returns the size in pixels that an image of w x h gets.
func (n Native) Fit(w, h int) (int, int) {
	across, down := units(w, n.Unit), units(h, n.Unit)
	for across > n.Side || down > n.Side || across*down > n.Square {
		if across >= down {
			across--
			down = units(h*across, w)
		} else {
			down--
			across = units(w*down, h)
		}
	}
	return across * n.Unit, down * n.Unit
}

// units is x/unit, rounded, and 1 at least.
func units(x, unit int) int { return max(1, (2*x+unit)/(2*unit)) }

// Sized is an image of its own size: three channels, one after the other, each row by
// row.
type Sized struct {
	Pixels        []float32
	Height, Width int
}

// PreprocessNative does for an encoded image what Batch does without augmentation.
func (l *Loader) PreprocessNative(encoded []byte) (Sized, error) {
	if l.cfg.Native == nil {
		return Sized{}, errors.New("the loader makes squares of images")
	}
	img, err := l.decode(encoded)
	if err != nil {
		return Sized{}, err
	}
	return l.sized(img), nil
}

// KeepsShapes tells whether images keep their shapes.
func (l *Loader) KeepsShapes() bool { return l.cfg.Native != nil }

func (l *Loader) sized(img *picture.RGB) Sized {
	s := Sized{Pixels: make([]float32, len(img.Pix)), Height: img.H, Width: img.W}
	n := img.W * img.H
	for i := range n {
		for c := range 3 {
			s.Pixels[c*n+i] = l.scale[c][img.Pix[3*i+c]]
		}
	}
	return s
}
