// Package scenes makes pictures of coloured shapes with captions from a grammar
// that say which shapes there are and where. What is in a picture is known, so
// that captions can be judged.
//
// A scene lives on a canvas of 32 by 32 steps, whatever the size of its image.
// All arithmetic is in integers: a seed gives the same bytes on every processor.
// Scene i depends on the seed and i only.
//
// Start reading at Source, then Scene.
package scenes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Canvas is the side of the world, in steps.
const Canvas = 32

// Colors, Shapes and Sizes are the words for the attributes of an object.
var (
	Colors = []string{"red", "green", "blue", "yellow", "purple", "cyan", "orange", "white"}
	Shapes = []string{"circle", "square", "triangle", "cross", "diamond", "ring"}
	Sizes  = []string{"small", "large"}
)

var rgb = map[string][3]int{
	"red": {220, 30, 30}, "green": {30, 170, 40}, "blue": {40, 60, 230}, "yellow": {235, 220, 40},
	"purple": {150, 40, 190}, "cyan": {50, 210, 220}, "orange": {245, 140, 20}, "white": {240, 240, 240},
}

// Object is one shape; X and Y are its centre, from the top left, in steps.
type Object struct {
	Color string `json:"color"`
	Shape string `json:"shape"`
	Size  string `json:"size"`
	X     int    `json:"x"`
	Y     int    `json:"y"`
}

// Scene is the ground truth of one image.
type Scene struct {
	Objects []Object `json:"objects"`
	// Counting marks scenes of equal objects, which the caption counts.
	Counting bool `json:"counting,omitempty"`
}

// Params of the source. Zero fields mean the defaults.
type Params struct {
	Image      int      `json:"image,omitempty"`       // pixels a side; default 32
	MinObjects int      `json:"min_objects,omitempty"` // default 1
	MaxObjects int      `json:"max_objects,omitempty"` // default 3
	Colors     []string `json:"colors,omitempty"`      // default: all eight
	Shapes     []string `json:"shapes,omitempty"`      // default: all six
	Radii      []int    `json:"radii,omitempty"`       // of small and large objects, in steps of a 32nd of the image; default 4 and 7
	Large      int      `json:"large,omitempty"`       // percentage of large objects; default 40
	Counting   int      `json:"counting,omitempty"`    // percentage of scenes of equal objects; default 0
	MaxCount   int      `json:"max_count,omitempty"`   // equal objects in a counting scene; default 4
	Noise      int      `json:"noise,omitempty"`       // standard deviation of pixels' noise, in 1/1000 of full scale; default 40
	Plain      bool     `json:"plain,omitempty"`       // one wording for each scene, no paraphrases
	Unique     bool     `json:"unique,omitempty"`      // no two scenes that the same caption describes: for galleries
}

// WithDefaults fills the zero fields in.
func (p Params) WithDefaults() Params {
	for _, d := range []struct {
		field *int
		value int
	}{{&p.Image, 32}, {&p.MinObjects, 1}, {&p.MaxObjects, max(3, p.MinObjects)}, {&p.Large, 40}, {&p.MaxCount, 4}, {&p.Noise, 40}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if len(p.Colors) == 0 {
		p.Colors = Colors
	}
	if len(p.Shapes) == 0 {
		p.Shapes = Shapes
	}
	if len(p.Radii) == 0 {
		p.Radii = []int{4, 7}
	}
	return p
}

// Validate reports every fault of params whose defaults are filled in.
func (p Params) Validate() error {
	var faults []error
	between := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			faults = append(faults, fmt.Errorf("%s is %d: use %d to %d", name, v, lo, hi))
		}
	}
	between("image", p.Image, 8, 2048)
	between("min_objects", p.MinObjects, 1, 9)
	between("max_objects", p.MaxObjects, p.MinObjects, 9)
	between("large", p.Large, 0, 100)
	between("counting", p.Counting, 0, 100)
	between("max_count", p.MaxCount, 2, 9)
	between("noise", p.Noise, 0, 500)
	if len(p.Radii) != 2 || p.Radii[0] < 1 || p.Radii[1] <= p.Radii[0] || p.Radii[1] > 12 {
		faults = append(faults, fmt.Errorf("radii are %v: use two rising numbers from 1 to 12, such as [4, 7]", p.Radii))
	}
	for _, list := range []struct {
		name        string
		words, know []string
	}{{"colors", p.Colors, Colors}, {"shapes", p.Shapes, Shapes}} {
		for _, w := range list.words {
			if !slices.Contains(list.know, w) {
				faults = append(faults, fmt.Errorf("%s has %q: use some of %s", list.name, w, strings.Join(list.know, ", ")))
			}
		}
	}
	return errors.Join(faults...)
}

// maxTries bounds the search for a layout; each try starts from nothing.
const maxTries = 2000

// place draws a scene. The generator's state behind it depends on its state
// before only.
func (p *Params) place(rng *rand.Rand) (Scene, error) {
	counting := rng.IntN(100) < p.Counting
	for range maxTries {
		var s Scene
		var ok bool
		if counting {
			s, ok = p.tryCounting(rng)
		} else {
			s, ok = p.tryScene(rng)
		}
		if ok {
			return s, nil
		}
	}
	return Scene{}, fmt.Errorf("no room for %d to %d objects of radii %v on a canvas of %d: lower max_objects, max_count or radii",
		p.MinObjects, p.MaxObjects, p.Radii, Canvas)
}

func (p *Params) tryScene(rng *rand.Rand) (Scene, bool) {
	n := p.MinObjects + rng.IntN(p.MaxObjects-p.MinObjects+1)
	s := Scene{Objects: make([]Object, 0, n)}
	for range n {
		o := Object{Color: pick(rng, p.Colors), Shape: pick(rng, p.Shapes), Size: p.size(rng)}
		if !p.fit(&s, o, rng) {
			return s, false
		}
	}
	for i, a := range s.Objects {
		for _, b := range s.Objects[:i] {
			if a.looks() == b.looks() {
				return s, false
			}
		}
	}
	if n >= 2 { // the relation that a caption names must be clear to the eye
		dx, dy := s.Objects[0].X-s.Objects[1].X, s.Objects[0].Y-s.Objects[1].Y
		return s, abs(abs(dx)-abs(dy)) >= 4
	}
	return s, true
}

func (p *Params) tryCounting(rng *rand.Rand) (Scene, bool) {
	n := 2 + rng.IntN(p.MaxCount-1)
	s := Scene{Counting: true}
	o := Object{Color: pick(rng, p.Colors), Shape: pick(rng, p.Shapes), Size: p.size(rng)}
	for range n {
		if !p.fit(&s, o, rng) {
			return s, false
		}
	}
	return s, true
}

// fit puts o on a free place, if twenty tries find one.
func (p *Params) fit(s *Scene, o Object, rng *rand.Rand) bool {
	r := p.radius(o.Size)
	for range 20 {
		o.X, o.Y = r+rng.IntN(Canvas-2*r), r+rng.IntN(Canvas-2*r)
		if !slices.ContainsFunc(s.Objects, func(other Object) bool {
			return max(abs(o.X-other.X), abs(o.Y-other.Y)) <= r+p.radius(other.Size)+1
		}) {
			s.Objects = append(s.Objects, o)
			return true
		}
	}
	return false
}

func (p *Params) size(rng *rand.Rand) string {
	if rng.IntN(100) < p.Large {
		return Sizes[1]
	}
	return Sizes[0]
}

func (p *Params) radius(size string) int {
	if size == Sizes[1] {
		return p.Radii[1]
	}
	return p.Radii[0]
}

// looks are the attributes by which a caption tells objects apart.
func (o Object) looks() [3]string { return [3]string{o.Size, o.Color, o.Shape} }

// area names the ninth of the canvas where the object is.
func (o Object) area() (vertical, horizontal string) {
	third := func(v int, low, mid, high string) string {
		switch {
		case v < 11:
			return low
		case v > 20:
			return high
		}
		return mid
	}
	return third(o.Y, "top", "middle", "bottom"), third(o.X, "left", "center", "right")
}

// Relation says where a is, seen from b: left, right, above or below.
func Relation(a, b Object) string {
	dx, dy := a.X-b.X, a.Y-b.Y
	switch {
	case abs(dx) > abs(dy) && dx < 0:
		return "left"
	case abs(dx) > abs(dy):
		return "right"
	case dy < 0:
		return "above"
	}
	return "below"
}

// Key is equal for scenes that the same captions describe.
func (s Scene) Key() string {
	var parts []string
	o := slices.Clone(s.Objects)
	switch {
	case s.Counting:
		return fmt.Sprintf("%d %v", len(o), o[0].looks())
	case len(o) == 1:
		v, h := o[0].area()
		return fmt.Sprintf("%v %s %s", o[0].looks(), v, h)
	}
	if slices.Compare(o[1].words(), o[0].words()) < 0 {
		o[0], o[1] = o[1], o[0]
	}
	rest := o[2:]
	slices.SortFunc(rest, func(a, b Object) int { return slices.Compare(a.words(), b.words()) })
	for _, x := range o {
		parts = append(parts, fmt.Sprint(x.looks()))
	}
	return strings.Join(append(parts, Relation(o[0], o[1])), " ")
}

func (o Object) words() []string { l := o.looks(); return l[:] }

// ParseScene reads the ground truth of a sample.
func ParseScene(raw json.RawMessage) (Scene, error) {
	var s Scene
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("scene: %w", err)
	}
	if len(s.Objects) == 0 {
		return s, errors.New("scene: it has no objects")
	}
	return s, nil
}

func pick(rng *rand.Rand, words []string) string { return words[rng.IntN(len(words))] }

func abs(v int) int { return max(v, -v) }
