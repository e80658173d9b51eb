// Package emoji makes pictures of real emoji drawings: single ones, or collages
// of up to three on a tinted ground, whose captions name the emoji and say how
// they lie to each other. What is in a picture is known, so that captions can
// be judged.
//
// The drawings come from npm packages; see Install. Start reading at Source.
package emoji

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"tempera/datagen/sample"
)

// Name is the source's name in parameters and in samples' facts.
const Name = "emoji"

// Params of the source. Zero fields mean the defaults.
type Params struct {
	Mode         string   `json:"mode,omitempty"`          // "collage" (default) or "single": one emoji filling the image
	Image        int      `json:"image,omitempty"`         // pixels a side; default 32
	Concepts     int      `json:"concepts,omitempty"`      // how many emoji; default 24
	FirstConcept int      `json:"first_concept,omitempty"` // leave so many out first: another set of concepts, e.g. to hold out
	ConceptSeed  uint64   `json:"concept_seed,omitempty"`  // chooses the concepts; the same for all splits of a data set
	Categories   []string `json:"categories,omitempty"`    // default: animals, food, activities, travel, objects
	MaxWords     int      `json:"max_words,omitempty"`     // of a name; default 2
	Styles       []string `json:"styles,omitempty"`        // default: google and twitter; leave one out to hold it out
	MaxEmoji     int      `json:"max_emoji,omitempty"`     // in a collage, 1 to 3; default 2
	Pairs        int      `json:"pairs,omitempty"`         // percentage of collages with more than one emoji; default 70
	IconMin      int      `json:"icon_min,omitempty"`      // pixels of an emoji beside another; default half the image
	IconMax      int      `json:"icon_max,omitempty"`      // pixels at most of an emoji alone; default three quarters of the image
	Captions     string   `json:"captions,omitempty"`      // "names" (default) or "keywords": what people search for, as noisy captions
	Unique       bool     `json:"unique,omitempty"`        // no two pictures that the same caption describes: for galleries
}

// WithDefaults fills the zero fields in.
func (p Params) WithDefaults() Params {
	for _, d := range []struct {
		field *string
		value string
	}{{&p.Mode, "collage"}, {&p.Captions, "names"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if p.Image == 0 {
		p.Image = 32
	}
	for _, d := range []struct{ field, value *int }{
		{&p.Concepts, new(24)},
		{&p.MaxWords, new(2)},
		{&p.MaxEmoji, new(2)},
		{&p.Pairs, new(70)},
		{&p.IconMin, new(p.Image / 2)},
		{&p.IconMax, new(p.Image * 3 / 4)},
	} {
		if *d.field == 0 {
			*d.field = *d.value
		}
	}
	if len(p.Categories) == 0 {
		p.Categories = Categories
	}
	if len(p.Styles) == 0 {
		p.Styles = Styles
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
	oneOf := func(name, v string, words ...string) {
		if !slices.Contains(words, v) {
			faults = append(faults, fmt.Errorf("%s has %q: use %s", name, v, strings.Join(words, ", ")))
		}
	}
	oneOf("mode", p.Mode, "collage", "single")
	oneOf("captions", p.Captions, "names", "keywords")
	for _, s := range p.Styles {
		oneOf("styles", s, Styles...)
	}
	between("image", p.Image, 8, 2048)
	between("concepts", p.Concepts, 1, 5000)
	between("first_concept", p.FirstConcept, 0, 5000)
	between("max_words", p.MaxWords, 1, 9)
	between("max_emoji", p.MaxEmoji, 1, 3)
	between("pairs", p.Pairs, 0, 100)
	between("icon_min", p.IconMin, 4, p.Image/2)
	between("icon_max", p.IconMax, p.IconMin, p.Image)
	if p.Mode == "collage" && p.Concepts < p.MaxEmoji {
		faults = append(faults, fmt.Errorf("concepts is %d: collages of up to %d emoji need as many", p.Concepts, p.MaxEmoji))
	}
	return errors.Join(faults...)
}

// Source yields the pictures with indices from 0 to Count-1. Make it with Open.
type Source struct {
	Split string // splits with different names share no random numbers
	Count int    // in single mode 0 means every concept in every style, once

	params   Params
	drawings *drawings
	concepts []Concept
}

// Open reads the names of the installed drawings in the data folder dir.
func Open(dir string, params Params) (*Source, error) {
	p := params.WithDefaults()
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("emoji: %w", err)
	}
	d, err := openDrawings(dir)
	if err != nil {
		return nil, err
	}
	all, err := d.concepts(p.Categories, p.MaxWords, p.ConceptSeed)
	if err != nil {
		return nil, err
	}
	if len(all) < p.FirstConcept+p.Concepts {
		return nil, fmt.Errorf("emoji: concepts %d to %d are asked for, the categories have %d: lower concepts or first_concept, or raise max_words",
			p.FirstConcept, p.FirstConcept+p.Concepts-1, len(all))
	}
	return &Source{params: p, drawings: d, concepts: all[p.FirstConcept : p.FirstConcept+p.Concepts]}, nil
}

// Name returns "emoji".
func (s *Source) Name() string { return Name }

// Concepts returns the names of the concepts in use.
func (s *Source) Concepts() []string {
	out := make([]string, 0, len(s.concepts))
	for _, c := range s.concepts {
		out = append(out, c.Name)
	}
	return out
}

// Samples yields the pictures in order. Picture i depends on seed, Split and i
// only (with unique: on those before it too).
func (s *Source) Samples(ctx context.Context, seed uint64) iter.Seq2[sample.Sample, error] {
	return func(yield func(sample.Sample, error) bool) {
		count := s.Count
		if s.params.Mode == "single" && count == 0 {
			count = len(s.concepts) * len(s.params.Styles)
		}
		seen := map[string]bool{}
		for i, made, dry := 0, 0, 0; made < count; i++ {
			if err := ctx.Err(); err != nil {
				yield(sample.Sample{}, err)
				return
			}
			rng := sample.Random(seed, "emoji/"+s.Split, uint64(i))
			l := s.plan(i, rng)
			key := l.content.Key()
			if s.params.Unique && seen[key] {
				if dry++; dry > 1000+20*len(seen) {
					yield(sample.Sample{}, fmt.Errorf("emoji: only %d distinct pictures found, %d wanted: lower the count, or raise concepts", len(seen), count))
					return
				}
				continue
			}
			seen[key], dry = true, 0
			out, err := s.draw(i, l, rng)
			if !yield(out, err) || err != nil {
				return
			}
			made++
		}
	}
}

// draw renders a layout and words its caption.
func (s *Source) draw(i int, l layout, rng *rand.Rand) (sample.Sample, error) {
	img, err := s.render(l, rng)
	if err != nil {
		return sample.Sample{}, fmt.Errorf("emoji picture %d: %w", i, err)
	}
	encoded, err := img.PNG()
	if err != nil {
		return sample.Sample{}, fmt.Errorf("emoji picture %d: %w", i, err)
	}
	content, err := json.Marshal(l.content)
	if err != nil {
		return sample.Sample{}, fmt.Errorf("emoji picture %d: %w", i, err)
	}
	clean := l.content.caption(rng)
	out := sample.Sample{
		Key: fmt.Sprintf("emoji-%08d", i), Image: encoded, Format: "png", Caption: clean,
		Facts: sample.Facts{
			Source: Name, Style: l.style, Concepts: l.content.Concepts, Origin: "clean",
			Truth: &sample.Truth{Caption: clean, Scene: content},
		},
	}
	if s.params.Captions == "keywords" {
		out.Caption, out.Facts.Origin, out.Facts.Truth.Noise = keywordCaption(l.icons, rng), "web", "keywords"
	}
	return out, nil
}

// keywordCaption is what a picture's alt text often is: a few search words.
func keywordCaption(icons []placed, rng *rand.Rand) string {
	var words []string
	for _, icon := range icons {
		k := icon.concept.Keywords
		if len(k) == 0 {
			k = []string{icon.concept.Name}
		}
		for range 1 + rng.IntN(3) {
			words = append(words, k[rng.IntN(len(k))])
		}
	}
	return strings.Join(words, " ")
}
