package loader

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"tempera/datagen/picture"
)

// Augment changes images at random, within limits; all zero changes nothing.
// Flipping is off unless asked for: it would turn "left of" into a lie.
type Augment struct {
	Flip   int `json:"flip,omitempty"`   // percentage of images mirrored
	Shift  int `json:"shift,omitempty"`  // pixels at most in each direction; what comes in is the edge
	Jitter int `json:"jitter,omitempty"` // percent at most of brightness and of each colour
	Noise  int `json:"noise,omitempty"`  // of each byte, at most
	Zoom   int `json:"zoom,omitempty"`   // percent at most cut from each side, and the rest enlarged
}

// Validate reports every fault.
func (a Augment) Validate() error {
	var faults []error
	for _, f := range []struct {
		name    string
		v, most int
	}{{"flip", a.Flip, 100}, {"shift", a.Shift, 64}, {"jitter", a.Jitter, 90}, {"noise", a.Noise, 128}, {"zoom", a.Zoom, 75}} {
		if f.v < 0 || f.v > f.most {
			faults = append(faults, fmt.Errorf("augment.%s is %d: use 0 to %d", f.name, f.v, f.most))
		}
	}
	return errors.Join(faults...)
}

func (a Augment) active() bool { return a != Augment{} }

// apply returns a changed copy of img, in scratch, which is of its size, or in memory
// of its own. Img stays as it is.
func (a Augment) apply(img, scratch *picture.RGB, rng *rand.Rand) *picture.RGB {
	if a.Zoom > 0 {
		cut := rng.IntN(img.W*a.Zoom/100 + 1)
		w, h := img.W-cut, img.H-cut*img.H/img.W
		img = img.Crop(rng.IntN(img.W-w+1), rng.IntN(img.H-h+1), w, h).Resize(img.W, img.H)
	}
	dx, dy := spread(rng, a.Shift), spread(rng, a.Shift)
	flip := a.Flip > 0 && rng.IntN(100) < a.Flip
	w := img.W
	for y := range img.H {
		from := clamp(y+dy, img.H-1) * w
		for x := range w {
			sx := clamp(x+dx, w-1)
			if flip {
				sx = w - 1 - sx
			}
			copy(scratch.Pix[3*(y*w+x):3*(y*w+x)+3], img.Pix[3*(from+sx):])
		}
	}
	if a.Jitter > 0 || a.Noise > 0 {
		a.recolor(scratch, rng)
	}
	return scratch
}

func (a Augment) recolor(img *picture.RGB, rng *rand.Rand) {
	bright := 100 + spread(rng, a.Jitter)
	var gain [3]int // in 1/10000
	for c := range gain {
		gain[c] = bright * (100 + spread(rng, a.Jitter)/2)
	}
	for i := range img.Pix {
		v := int(img.Pix[i]) * gain[i%3] / 10000
		img.Pix[i] = byte(clamp(v+spread(rng, a.Noise), 255))
	}
}

// spread returns a number from -most to most.
func spread(rng *rand.Rand, most int) int {
	if most == 0 {
		return 0
	}
	return rng.IntN(2*most+1) - most
}

func clamp(v, most int) int { return min(max(v, 0), most) }
