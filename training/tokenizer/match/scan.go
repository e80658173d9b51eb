package match

import (
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/charclass"
)

// The regular expressions of the usual tokenizers.
const (
	GPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` // Radford et al. 2019, encoder.py

	llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	clip   = `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`
)

var scanners = map[string]scanner{
	GPT2:    scanGPT2,
	llama3:  func(text string) (int, bool) { return scanLlama(text, 3), true },
	qwen2:   func(text string) (int, bool) { return scanLlama(text, 1), true },
	clip:    scanCLIP,
	`\s+`:   scanSpaces,
	` {2,}`: scanBlanks,
}

type class uint8

const (
	other class = iota
	letter
	number
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
	switch c := charclass.Of(r); {
	case c&charclass.Letter != 0:
		return letter
	case c&charclass.Number != 0:
		return number
	case c&charclass.Space != 0:
		return space
	}
	return other
}

// classOf returns the class of the first rune and its length in bytes. Bytes
// that are no UTF-8 count as neither space nor letter nor number.
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

// run returns the bytes of the runes of a class at the front of a text.
func run(text string, c class) int {
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

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

func contraction(text string) int {
	if text[0] == '\'' {
		for _, c := range contractions {
			if strings.HasPrefix(text, c) {
				return len(c)
			}
		}
	}
	return 0
}

// contractionFold takes either case, of which the long s is one for s.
func contractionFold(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range contractions {
		if len(text) >= len(c) && strings.EqualFold(text[:len(c)], c) {
			return len(c)
		}
	}
	if long := "'ſ"; strings.HasPrefix(text, long) {
		return len(long)
	}
	return 0
}

// spaces is \s+(?!\S)|\s+ of a run of n bytes at the front of a text: the last
// white space before a word is left to it, unless it is the only one.
func spaces(text string, n int) int {
	if n == len(text) {
		return n
	}
	_, last := utf8.DecodeLastRuneInString(text[:n])
	if last < n {
		return n - last
	}
	return n
}

func scanGPT2(text string) (int, bool) {
	if n := contraction(text); n > 0 {
		return n, true
	}
	start := 0
	if text[0] == ' ' && len(text) > 1 {
		start = 1
	}
	if c, n := classOf(text[start:]); c != space {
		return start + n + run(text[start+n:], c), true
	}
	return spaces(text, run(text, space)), true
}

// scanLlama is the pattern of Llama 3 (and of cl100k_base) with numbers of up to
// three digits, and that of Qwen2 with single digits.
func scanLlama(text string, digits int) int {
	if n := contractionFold(text); n > 0 {
		return n
	}
	c, n := classOf(text)
	if c == letter {
		return n + run(text[n:], letter)
	}
	if c == number {
		for range digits - 1 {
			if n == len(text) {
				break
			}
			k, size := classOf(text[n:])
			if k != number {
				break
			}
			n += size
		}
		return n
	}
	next, size := other, 0
	if n < len(text) {
		next, size = classOf(text[n:])
	}
	switch {
	case next == letter && text[0] != '\r' && text[0] != '\n':
		return n + run(text[n:], letter)
	case c == other || text[0] == ' ' && next == other && size > 0:
		n += run(text[n:], other)
		for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
			n++
		}
		return n
	}
	n = run(text, space)
	if line := strings.LastIndexAny(text[:n], "\r\n"); line >= 0 {
		return line + 1
	}
	return spaces(text, n)
}

func scanCLIP(text string) (int, bool) {
	if n := contraction(text); n > 0 {
		return n, true
	}
	switch c, n := classOf(text); c {
	case space:
		return n, false
	case number:
		return n, true
	default:
		return n + run(text[n:], c), true
	}
}

func scanSpaces(text string) (int, bool) {
	if n := run(text, space); n > 0 {
		return n, true
	}
	_, n := utf8.DecodeRuneInString(text)
	return n, false
}

func scanBlanks(text string) (int, bool) {
	n := len(text) - len(strings.TrimLeft(text, " "))
	return max(n, 1), n > 1
}
