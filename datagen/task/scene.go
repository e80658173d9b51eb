package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
)

// Scene are the parameters of questions about generated pictures. Zero fields mean the defaults.
type Scene struct {
	Form
	Scenes scenes.Params      `json:"scenes,omitempty"` // of the pictures
	Kinds  map[string]float64 `json:"kinds,omitempty"`  // weights of count, color, shape and relation; default 1 each
	Blank  bool               `json:"blank,omitempty"`  // the pictures show nothing: what can be learned of the questions alone
}

// question asks something of a scene; ok is false where there is nothing to ask.
type question func(s scenes.Scene, r *rand.Rand) (ask, answer, thought string, ok bool)

var questions = map[string]question{"count": askCount, "color": askColor, "shape": askShape, "relation": askRelation}

func scene() Task {
	return opens[Scene](Task{
		Name: "scene", Summary: "questions about pictures of coloured shapes: counts, colours, shapes and relations",
		Check: func(p *example.Problem, completion string) Verdict {
			found, fault := Extract(completion, marked(p, Tags))
			if fault != "" {
				return wrong("", fault)
			}
			return same(phrase(found), phrase(p.Answer))
		},
	})
}

func (s Scene) withDefaults() Scene {
	s.Form, s.Scenes = s.marked(Tags), s.Scenes.WithDefaults()
	if s.Kinds == nil {
		s.Kinds = map[string]float64{"count": 1, "color": 1, "shape": 1, "relation": 1}
	}
	return s
}

// Validate reports every fault.
func (s Scene) Validate() error {
	var faults []error
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(s.Kinds)) {
		w := s.Kinds[name]
		if questions[name] == nil || !(w >= 0 && w <= 1e6) {
			faults = append(faults, fmt.Errorf("kinds has %q: %v: use count, color, shape and relation with weights from 0", name, w))
		}
		sum += w
	}
	if !(sum > 0) {
		faults = append(faults, errors.New("kinds has no weight above 0: give count, color, shape or relation one"))
	}
	if s.Scenes.Unique {
		faults = append(faults, errors.New("scenes.unique is set: scenes are drawn one by one here, leave it out"))
	}
	return errors.Join(append(faults, s.Scenes.Validate())...)
}

func (s Scene) draw(r *rand.Rand) (*problem, error) {
	kind := weighted(r, s.Kinds)
	for range maxStarts {
		shown, err := onlyScene(&scenes.Source{Params: s.Scenes, Count: 1}, r.Uint64())
		if err != nil {
			return nil, err
		}
		truth, err := scenes.ParseScene(shown.Facts.Truth.Scene)
		if err != nil {
			return nil, err
		}
		ask, answer, thought, ok := questions[kind](truth, r)
		if !ok {
			continue
		}
		if s.Blank {
			if shown.Image, err = picture.Blank(); err != nil {
				return nil, err
			}
		}
		return &problem{
			prompt: ask, answer: answer, traces: []string{thought}, facts: json.RawMessage(shown.Facts.Truth.Scene),
			level: len(truth.Objects), slice: kind, image: shown.Image,
		}, nil
	}
	return nil, fmt.Errorf("no scene to ask %s of was found: allow more objects, or give kinds that such scenes have", kind)
}

// onlyScene is the first scene of a seed.
func onlyScene(s *scenes.Source, seed uint64) (sample.Sample, error) {
	for shown, err := range s.Samples(context.Background(), seed) {
		return shown, err
	}
	return sample.Sample{}, errors.New("the scenes end before the first")
}

func askCount(s scenes.Scene, r *rand.Rand) (ask, answer, thought string, ok bool) {
	color := pick(r, s.Objects).Color
	if r.IntN(4) == 0 {
		color = pick(r, scenes.Colors)
	}
	n, seen := 0, []string{}
	for _, o := range s.Objects {
		if o.Color == color {
			n++
			seen = append(seen, o.Shape)
		}
	}
	if n == 0 {
		seen = []string{"none"}
	}
	return fmt.Sprintf("how many %s shapes?", color), strconv.Itoa(n), color + " " + strings.Join(seen, " "), true
}

func askColor(s scenes.Scene, r *rand.Rand) (ask, answer, thought string, ok bool) {
	o := pick(r, s.Objects)
	for _, other := range s.Objects {
		if other != o && other.Shape == o.Shape {
			return "", "", "", false
		}
	}
	return fmt.Sprintf("what color is the %s?", o.Shape), o.Color, o.Size + " " + o.Shape, true
}

func askShape(s scenes.Scene, r *rand.Rand) (ask, answer, thought string, ok bool) {
	o := pick(r, s.Objects)
	for _, other := range s.Objects {
		if other != o && other.Color == o.Color {
			return "", "", "", false
		}
	}
	return fmt.Sprintf("what shape is %s?", o.Color), o.Shape, o.Size + " " + o.Color, true
}

// askRelation asks where one of two objects is. Scenes have a clear relation between their first two.
func askRelation(s scenes.Scene, r *rand.Rand) (ask, answer, thought string, ok bool) {
	if s.Counting || len(s.Objects) < 2 || s.Objects[0].Color == s.Objects[1].Color && s.Objects[0].Shape == s.Objects[1].Shape {
		return "", "", "", false
	}
	a, b := s.Objects[0], s.Objects[1]
	if r.IntN(2) == 0 {
		a, b = b, a
	}
	for _, other := range s.Objects[2:] { // each must be the only one that its words fit
		for _, o := range []scenes.Object{a, b} {
			if other.Color == o.Color && other.Shape == o.Shape {
				return "", "", "", false
			}
		}
	}
	where := scenes.Relation(a, b)
	opposite := map[string]string{"left": "right", "right": "left", "above": "below", "below": "above"}
	claimed, answer := where, "yes"
	if r.IntN(2) == 0 {
		claimed, answer = opposite[where], "no"
	}
	return fmt.Sprintf("is the %s %s %s the %s %s?", a.Color, a.Shape, map[string]string{"left": "left of", "right": "right of", "above": "above", "below": "below"}[claimed], b.Color, b.Shape), answer, where, true
}
