package overlap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const long = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."

func TestGrams(t *testing.T) {
	g := NewGrams(GramWords)
	g.Add(long)
	g.Add("How many?")
	for _, c := range []struct {
		name, text string
		run, whole bool
	}{
		{"the text itself", long, true, false},
		{"inside another, with other signs and case", "It says: NATALIA sold clips to 48 of her friends in April - and THEN she laughed.", true, false},
		{"twelve of its words", "Natalia sold clips to 48 of her friends in April, and then he", false, false},
		{"its words in another order", "In May she sold half as many clips, and then in April of her friends to 48 clips sold Natalia", false, false},
		{"a short one as a whole", "how MANY", false, true},
		{"a short one inside another", "How many clips?", false, false},
		{"nothing", "?!", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := g.Find(c.text); (got != "") != c.run || c.run && len(strings.Fields(got)) != GramWords {
				t.Errorf("the run is %q", got)
			}
			if got := g.Whole(c.text); got != c.whole {
				t.Errorf("whole is %v", got)
			}
		})
	}
}

// Of texts in which a share of the words was changed, those are found that still
// share enough, and texts of their own are not.
func TestNearTextsAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		words := make([]string, 60)
		for i := range words {
			words[i] = fmt.Sprintf("w%d", r.IntN(500))
		}
		return words
	}
	n := NewNear(0.7)
	var kept [][]string
	for i := range 300 {
		words := text()
		kept = append(kept, words)
		if of, dup := n.Add(fmt.Sprint(i), strings.Join(words, " ")); dup {
			t.Fatalf("text %d is taken for %s", i, of)
		}
	}
	missed, wrong := 0, 0
	for i, words := range kept {
		one := slices.Clone(words)
		one[10+i%40] = "changed" // 5 of 56 shingles: 0.84 shared
		if of, dup := n.Add("near", strings.Join(one, " ")); !dup || of != fmt.Sprint(i) {
			missed++
		}
		many := slices.Clone(words)
		for k := range 6 {
			many[4+10*k] = "changed" // 30 of 56 shingles: 0.3 shared
		}
		if _, dup := n.Add("far", strings.Join(many, " ")); dup {
			wrong++
		}
	}
	if missed > 3 || wrong > 0 {
		t.Errorf("%d of 300 near texts are missed, %d others are found", missed, wrong)
	}
	if _, dup := n.Add("short", "hi"); dup {
		t.Error("a short text is taken for a long one")
	}
	if _, dup := n.Add("again", "Hi!"); !dup {
		t.Error("a short text is not found again")
	}
}
