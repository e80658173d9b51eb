package normalize

import (
	"strings"

	"tempera/training/tokenizer/charclass"
)

// bert is BERT's cleaning (Devlin et al. 2018, tokenization.py): control
// characters go, spaces become blanks, ideographs stand alone, accents go, and
// all becomes lower case; each can be switched off.
func bert(p part) Step {
	var steps []Step
	if p.CleanText {
		steps = append(steps, filter(clean))
	}
	if p.ChineseChars {
		steps = append(steps, keepingFront(isolateIdeographs))
	}
	accents := p.Lowercase
	if p.StripAccents != nil {
		accents = *p.StripAccents
	}
	if accents {
		steps = append(steps, keepingFront(nfd.apply), without(charclass.Nonspacing))
	}
	if p.Lowercase {
		steps = append(steps, keepingFront(Lower))
	}
	return all(steps)
}

func clean(r rune) rune {
	switch c := charclass.Of(r); {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case c&charclass.Other != 0:
		return deleted
	case c&charclass.Space != 0:
		return ' '
	}
	return r
}

func isolateIdeographs(text string) string {
	if !strings.ContainsFunc(text, isIdeograph) {
		return text
	}
	var b strings.Builder
	rest := 0
	for i, r := range text {
		if isIdeograph(r) {
			b.WriteString(text[rest:i])
			b.WriteString(" " + string(r) + " ")
			rest = i + len(string(r))
		}
	}
	b.WriteString(text[rest:])
	return b.String()
}

// isIdeograph knows the blocks that the reference knows: it begins the fifth
// extension at U+2B920, where Unicode begins it at U+2B820.
func isIdeograph(r rune) bool {
	return r >= 0x4e00 && r <= 0x9fff || r >= 0x3400 && r <= 0x4dbf || r >= 0x20000 && r <= 0x2a6df ||
		r >= 0x2a700 && r <= 0x2b73f || r >= 0x2b740 && r <= 0x2b81f || r >= 0x2b920 && r <= 0x2ceaf ||
		r >= 0xf900 && r <= 0xfaff || r >= 0x2f800 && r <= 0x2fa1f
}
