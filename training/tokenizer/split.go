package tokenizer

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// split cuts a text into words as GPT-2 does, by the pattern
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// (Radford et al. 2019, encoder.py), where \s is Unicode's White_Space. Go's
// regular expressions have no look-ahead, hence this scanner. Bytes that are no
// UTF-8 count as neither space nor letter nor number. The words, joined, are
// the text.
func split(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := wordLength(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

type class uint8

const (
	other class = iota
	letter
	digit
	space
)

// asciiClass saves the table look-ups for most of what there is.
var asciiClass = func() (table [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		table[r] = classOfRune(r)
	}
	return table
}()

func classOfRune(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return digit
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// classOf returns the class of the first rune and its length in bytes.
func classOf(text string) (class, int) {
	if c := text[0]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	if r == utf8.RuneError && n == 1 {
		return other, 1
	}
	return classOfRune(r), n
}

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// wordLength returns the length of the first word of a text that is not empty.
func wordLength(text string) int {
	if text[0] == '\'' {
		for _, c := range contractions {
			if strings.HasPrefix(text, c) {
				return len(c)
			}
		}
	}
	start := 0
	if text[0] == ' ' && len(text) > 1 {
		start = 1
	}
	if c, n := classOf(text[start:]); c != space {
		return start + runLength(text[start+n:], c) + n
	}
	n := runLength(text, space)
	if n == len(text) {
		return n
	}
	// The last white space before a word is left to it, unless it is the only.
	_, last := utf8.DecodeLastRuneInString(text[:n])
	if last < n {
		return n - last
	}
	return n
}

// runLength returns the bytes of the runes of a class at the front of a text.
func runLength(text string, c class) int {
	n := 0
	for n < len(text) {
		k, size := classOf(text[n:])
		if k != c {
			break
		}
		n += size
	}
	return n
}

// lower maps every rune to lower case by itself, as Hugging Face's Lowercase
// normaliser does: no rule looks at neighbours (a final sigma stays σ). Bytes
// that are no UTF-8 stay.
func lower(text string) string {
	var b strings.Builder
	changed := false
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		l := unicode.ToLower(r)
		if l != r && !changed {
			changed = true
			b.Grow(len(text))
			b.WriteString(text[:i])
		}
		switch {
		case !changed:
		case r == 'İ': // the one rune whose lower case is two: i and a dot above
			b.WriteString("i\u0307")
		case l != r:
			b.WriteRune(l)
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	if !changed {
		return text
	}
	return b.String()
}
