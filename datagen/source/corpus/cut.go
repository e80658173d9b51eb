package corpus

import (
	"strings"
	"unicode/utf8"
)

// Cut cuts a text into parts of at most limit bytes, which together are the
// text: each at the last blank line that fits, else at the last line end, else
// at the last space, else anywhere between characters. A limit of 0 does not cut.
// Parts of white space alone are joined to the part before them.
func Cut(text string, limit int) []string {
	if limit <= 0 || len(text) <= limit {
		return []string{text}
	}
	var parts []string
	for len(text) > limit {
		at := border(text, limit)
		parts = appendPart(parts, text[:at])
		text = text[at:]
	}
	return appendPart(parts, text)
}

func appendPart(parts []string, part string) []string {
	if n := len(parts); n > 0 && strings.TrimSpace(part) == "" {
		parts[n-1] += part
		return parts
	}
	return append(parts, part)
}

// border is where the first part of a text that is longer than limit ends.
func border(text string, limit int) int {
	head := text[:limit]
	for _, end := range []string{"\n\n", "\n", " "} {
		if at := strings.LastIndex(head, end); at > limit/4 { // further back, parts become too uneven
			return at + len(end)
		}
	}
	for limit > 1 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return limit
}
