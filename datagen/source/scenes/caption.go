package scenes

import (
	"math/rand/v2"
	"strings"
)

// The grammar's paraphrases. The first of each list is the plain wording.
var (
	openings  = []string{"", "", "there is", "a picture of", "we see"}
	many      = []string{"", "", "there are", "a picture of", "we see"}
	sizeWords = map[string][]string{"small": {"small", "tiny"}, "large": {"large", "big"}}
	relations = map[string][]string{
		"left": {"left of", "to the left of"}, "right": {"right of", "to the right of"},
		"above": {"above", "over"}, "below": {"below", "under"},
	}
	joiners = []string{"and", "with"}
	numbers = []string{"", "", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
)

// caption words a scene: one object with its place, or two with their relation
// and the others after them, or how many equal ones.
func (p *Params) caption(s Scene, rng *rand.Rand) string {
	g := grammar{rng, p.Plain}
	o := s.Objects
	switch {
	case s.Counting:
		return join(g.choose(many), numbers[len(o)], g.choose(sizeWords[o[0].Size]), o[0].Color, plural(o[0].Shape))
	case len(o) == 1:
		v, h := o[0].area()
		return join(g.choose(openings), g.noun(o[0]), "at the", v, h)
	}
	a, b := o[0], o[1]
	if !p.Plain && rng.IntN(2) == 0 {
		a, b = b, a
	}
	words := []string{g.choose(openings), g.noun(a), g.choose(relations[Relation(a, b)]), g.noun(b)}
	for _, other := range o[2:] {
		words = append(words, g.choose(joiners), g.noun(other))
	}
	return join(words...)
}

type grammar struct {
	rng   *rand.Rand
	plain bool
}

func (g grammar) choose(words []string) string {
	if g.plain {
		return words[0]
	}
	return pick(g.rng, words)
}

func (g grammar) noun(o Object) string {
	return join("a", g.choose(sizeWords[o.Size]), o.Color, o.Shape)
}

func plural(shape string) string {
	if shape == "cross" {
		return "crosses"
	}
	return shape + "s"
}

func join(words ...string) string {
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
