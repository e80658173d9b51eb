package tokenizer

import (
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/charclass"
)

// Added is a token that is matched as a whole before anything else is done.
type Added struct {
	ID         int32
	Text       string
	Special    bool // not part of what a person reads
	SingleWord bool // only where no letter, digit or mark is beside it
	LStrip     bool // it takes the white space before it
	RStrip     bool // and that after it
	Normalized bool // it is matched in the normalized text, by its own normalized form
}

// addedSet finds some of the added tokens. A nil set finds none.
type addedSet struct {
	trie   *trie // values are places in tokens
	tokens []Added
}

func newAddedSet(tokens []Added, form func(Added) string) *addedSet {
	if len(tokens) == 0 {
		return nil
	}
	entries := make([]entry, len(tokens))
	for i, a := range tokens {
		entries[i] = entry{form(a), int32(i)}
	}
	return &addedSet{newTrie(entries), tokens}
}

// cut calls part for what is between added tokens and id for the tokens, in
// order. The first token counts, of several there the longest.
func (s *addedSet) cut(text string, part func(text string, start int), id func(int32)) {
	if s == nil {
		part(text, 0)
		return
	}
	rest := 0
	for at := 0; at < len(text); {
		if s.trie.root[text[at]] == 0 {
			at++
			continue
		}
		k, n := s.trie.longest(text[at:])
		if n == 0 {
			at++
			continue
		}
		a := &s.tokens[k]
		start, stop := at, at+n
		at = stop
		if a.SingleWord && (endsInWord(text[:start]) || beginsWithWord(text[stop:])) {
			continue
		}
		if a.LStrip {
			start = max(rest, len(strings.TrimRightFunc(text[:start], isSpace)))
		}
		if a.RStrip {
			stop = len(text) - len(strings.TrimLeftFunc(text[stop:], isSpace))
		}
		if rest < start {
			part(text[rest:start], rest)
		}
		id(a.ID)
		rest = stop
	}
	if rest < len(text) {
		part(text[rest:], rest)
	}
}

func isSpace(r rune) bool { return charclass.Is(r, charclass.Space) }

func endsInWord(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(text)
	return text != "" && charclass.Is(r, charclass.Word)
}

func beginsWithWord(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return text != "" && charclass.Is(r, charclass.Word)
}
