// Package charclass says what Hugging Face's tokenizers take a rune for. Go's
// unicode package answers by one version of Unicode; the Rust library asks four
// libraries of four versions, and ids depend on their answers. The tables hold
// them, so that ids do not change with the Go release either.
package charclass

import (
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Class is a set of properties.
type Class uint16

// The properties.
const (
	Letter       Class = 1 << iota // \p{L} of the regular expressions
	Number                         // \p{N} of the regular expressions
	Space                          // White_Space
	Numeric                        // what the pre-tokenizer Digits isolates
	Punct                          // what BertPreTokenizer and Punctuation isolate
	Word                           // \w of the pre-tokenizer Whitespace and of added tokens
	Mark                           // what StripAccents strips
	Nonspacing                     // what BertNormalizer strips
	Other                          // what BertNormalizer cleans away
	Normalizable                   // what has a decomposition or a combining class
)

// span is the runes from the first to the last, both included.
type span [2]rune

// The classes of runes in two stages: the page of a rune's high bits, and its
// place there. Most pages are alike, so that all fit in a few hundred.
type table struct {
	page  [utf8.MaxRune>>8 + 1]uint16
	pages [][256]Class
}

var classes = sync.OnceValue(func() *table {
	flat := make([]Class, utf8.MaxRune+1)
	for _, c := range []struct {
		class Class
		spans []span
	}{
		{Letter, letters},
		{Number, numbers},
		{Space, spaces},
		{Numeric, numerics},
		{Punct, puncts},
		{Word, words},
		{Mark, marks},
		{Nonspacing, nonspacings},
		{Other, others},
		{Normalizable, normalizables},
	} {
		for _, s := range c.spans {
			for r := s[0]; r <= s[1]; r++ {
				flat[r] |= c.class
			}
		}
	}
	t := &table{}
	seen := map[[256]Class]uint16{}
	for i := range t.page {
		page := [256]Class(flat[i<<8:])
		at, ok := seen[page]
		if !ok {
			at = uint16(len(t.pages))
			seen[page] = at
			t.pages = append(t.pages, page)
		}
		t.page[i] = at
	}
	return t
})

// Of returns the properties of a rune.
func Of(r rune) Class {
	if r < 0 || r > utf8.MaxRune {
		return 0
	}
	t := classes()
	return t.pages[t.page[r>>8]][r&0xff]
}

// Is says whether a rune has one of the properties.
func Is(r rune, c Class) bool { return Of(r)&c != 0 }

// Lower returns a rune's lower case. U+0130 is the one whose lower case is two
// runes, i and U+0307; Lower leaves it as it is.
func Lower(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if l, ok := lowerCase[r]; ok {
		return l
	}
	return r
}

// Ranges of a property of regular expressions, such as Lu, by its name.
var properties = map[string][]span{
	"L": letters, "N": numbers, "Lu": regexUpper, "Ll": regexLower, "Lt": regexTitle,
	"Lm": regexModifier, "Lo": regexOtherLetter, "M": regexMark, "Nd": regexDecimal,
	"P": regexPunctuation, "S": regexSymbol, "Han": regexHan,
}

// Missing returns the runes that have a property in the regular expressions of
// the reference, but not in Go's version of Unicode, as pairs of the first and
// the last of a range.
func Missing(property string) [][2]rune {
	known, ok := unicode.Categories[property]
	if !ok {
		known = unicode.Scripts[property]
	}
	var out [][2]rune
	for _, s := range properties[property] {
		for r := s[0]; r <= s[1]; r++ {
			switch {
			case unicode.Is(known, r):
			case len(out) > 0 && out[len(out)-1][1] == r-1:
				out[len(out)-1][1] = r
			default:
				out = append(out, [2]rune{r, r})
			}
		}
	}
	return slices.Clip(out)
}
