// Package score computes the figures that models are judged by: retrieval
// recall, caption quality, filter quality, zero-shot accuracy, and how sure one
// can be of them. It is pure: numbers and strings in, numbers out, equal bits
// for equal inputs.
//
// Start reading at Gallery (retrieval), Corpus (captions), Filter, and Compare,
// which says whether one arm of an experiment beats another.
package score

import (
	"strings"
	"unicode"
)

// Tokens splits a caption as caption metrics expect it: lower case, Penn
// Treebank style words, no punctuation. A word is a run of letters, digits and
// marks; a hyphen, an apostrophe, a full stop or a comma stays inside a word
// between two of these ("t-shirt", "3.5"). The English contractions are words of
// their own ("dog's" is dog and 's, "isn't" is is and n't). It agrees with the
// PTBTokenizer of the COCO caption evaluation on plain captions; abbreviations
// with full stops ("u.s.") are where the two differ.
func Tokens(caption string) []string {
	runes := []rune(strings.ToLower(strings.ReplaceAll(caption, "’", "'")))
	var words []string
	for i := 0; i < len(runes); {
		if !inWord(runes[i]) {
			i++
			continue
		}
		start := i
		for i < len(runes) && (inWord(runes[i]) || joins(runes, i)) {
			i++
		}
		words = appendWord(words, string(runes[start:i]))
	}
	return words
}

func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || unicode.Is(unicode.So, r)
}

// joins reports whether the mark at i stands inside a word.
func joins(r []rune, i int) bool {
	if i == 0 || i+1 == len(r) || !inWord(r[i-1]) || !inWord(r[i+1]) {
		return false
	}
	switch r[i] {
	case '-', '\'':
		return true
	case '.', ',':
		return unicode.IsDigit(r[i-1]) && unicode.IsDigit(r[i+1])
	}
	return false
}

// appendWord splits a contraction off a word.
func appendWord(words []string, word string) []string {
	for _, ending := range []string{"n't", "'s", "'re", "'ve", "'ll", "'d", "'m"} {
		if stem, ok := strings.CutSuffix(word, ending); ok && stem != "" {
			return append(words, stem, ending)
		}
	}
	return append(words, word)
}
