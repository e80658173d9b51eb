// Package overlap finds texts that say the same: word for word over a run of words,
// as training data must not do with evaluation sets, or nearly, as copies of a text
// do.
//
// Start reading at Grams and Near.
package overlap

import (
	"hash/maphash"
	"iter"
	"strings"
	"unicode"
)

// Words are the words of a text as they are compared: its runs of letters and
// digits, in lower case.
func Words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

// Runs yields the runs of n words of a text, with single spaces.
func Runs(text string, n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		words := Words(text)
		for i := 0; i+n <= len(words); i++ {
			if !yield(strings.Join(words[i:i+n], " ")) {
				return
			}
		}
	}
}

// GramWords is how many words in a row two texts must share to overlap, as for
// GPT-3 (Brown et al. 2020, appendix C).
const GramWords = 13

// Grams are the runs of words of some texts. A text that is shorter than a run is
// known as a whole.
type Grams struct {
	n     int
	seed  maphash.Seed
	runs  map[uint64]struct{}
	whole map[string]struct{}
}

// NewGrams makes an empty set of runs of n words.
func NewGrams(n int) *Grams {
	return &Grams{n: n, seed: maphash.MakeSeed(), runs: map[uint64]struct{}{}, whole: map[string]struct{}{}}
}

// Add puts the runs of a text into the set.
func (g *Grams) Add(text string) {
	words := Words(text)
	if len(words) < g.n {
		if len(words) > 0 {
			g.whole[strings.Join(words, " ")] = struct{}{}
		}
		return
	}
	for i := range len(words) - g.n + 1 {
		g.runs[g.hash(words[i:i+g.n])] = struct{}{}
	}
}

func (g *Grams) hash(words []string) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	for _, w := range words {
		_, _ = h.WriteString(w) // it cannot fail
		_ = h.WriteByte(' ')
	}
	return h.Sum64()
}

// Find returns the first run of a text that the set has, "" without one.
func (g *Grams) Find(text string) string {
	words := Words(text)
	if len(g.runs) == 0 {
		return ""
	}
	for i := 0; i+g.n <= len(words); i++ {
		if _, ok := g.runs[g.hash(words[i:i+g.n])]; ok {
			return strings.Join(words[i:i+g.n], " ")
		}
	}
	return ""
}

// Whole tells whether a text that is shorter than a run is one of the set, word for
// word.
func (g *Grams) Whole(text string) bool {
	_, ok := g.whole[strings.Join(Words(text), " ")]
	return ok
}
