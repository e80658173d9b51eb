package emoji

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Content is the ground truth of a picture: the emoji it shows, and where the
// first lies, seen from the second.
type Content struct {
	Concepts []string `json:"concepts"`
	Relation string   `json:"relation,omitempty"` // left, right, above, below
}

var (
	sides    = []string{"left", "right", "above", "below"}
	opposite = map[string]string{"left": "right", "right": "left", "above": "below", "below": "above"}
	phrases  = map[string][]string{
		"left": {"left of", "to the left of"}, "right": {"right of", "to the right of"},
		"above": {"above", "over"}, "below": {"below", "under"},
	}
)

// ParseContent reads the ground truth of a sample.
func ParseContent(raw json.RawMessage) (Content, error) {
	var c Content
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("emoji content: %w", err)
	}
	if len(c.Concepts) == 0 {
		return c, errors.New("emoji content: it has no concepts")
	}
	return c, nil
}

// caption words the content.
func (c Content) caption(rng *rand.Rand) string {
	text := "a " + c.Concepts[0]
	if len(c.Concepts) > 1 {
		text += " " + phrases[c.Relation][rng.IntN(2)] + " a " + c.Concepts[1]
	}
	for _, other := range c.Concepts[min(2, len(c.Concepts)):] {
		text += " and a " + other
	}
	return text
}

// Parse reads a caption of the form that the source writes. Any text parses:
// what has no relation in it is taken as the name of one emoji.
func Parse(caption string) Content {
	text := " " + strings.Join(strings.Fields(strings.ToLower(caption)), " ")
	for _, side := range sides {
		for _, phrase := range []string{phrases[side][1], phrases[side][0]} { // the longer one first
			first, rest, ok := strings.Cut(text, " "+phrase+" a ")
			if !ok {
				continue
			}
			c := Content{Concepts: []string{bare(first)}, Relation: side}
			for other := range strings.SplitSeq(rest, " and a ") {
				c.Concepts = append(c.Concepts, bare(other))
			}
			return c
		}
	}
	if name := bare(text); name != "" {
		return Content{Concepts: []string{name}}
	}
	return Content{}
}

func bare(s string) string { return strings.TrimPrefix(strings.TrimSpace(s), "a ") }

// Key is equal for pictures that the same captions describe.
func (c Content) Key() string {
	if len(c.Concepts) < 2 {
		return strings.Join(c.Concepts, "")
	}
	a, b, r := c.Concepts[0], c.Concepts[1], c.Relation
	if b < a {
		a, b, r = b, a, opposite[r]
	}
	rest := slices.Sorted(slices.Values(c.Concepts[2:]))
	return strings.Join(append([]string{a, r, b}, rest...), "|")
}

// Verdict is what a caption gets right about a picture.
type Verdict struct {
	Objects      int  // emoji that the caption names
	TrueObjects  int  // of those, how many the picture shows
	ObjectsExact bool // it names the picture's emoji, all and no others
	WhollyTrue   bool // and their relation is right too
}

// Judge compares a caption with the content.
func (c Content) Judge(caption string) Verdict {
	said := Parse(caption)
	v := Verdict{Objects: len(said.Concepts)}
	left := slices.Clone(c.Concepts)
	for _, name := range said.Concepts {
		if slices.Contains(c.Concepts, name) {
			v.TrueObjects++
		}
		if i := slices.Index(left, name); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	v.ObjectsExact = len(left) == 0 && len(said.Concepts) == len(c.Concepts)
	// Of three emoji the first two are the related ones, so the keys compare the
	// whole statement.
	v.WhollyTrue = v.ObjectsExact && said.Key() == c.Key()
	return v
}
