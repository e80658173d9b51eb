// Package match finds the places in a text that tokenizer.json's patterns ask
// for. The regular expressions of the usual tokenizers are scanners in Go, for
// speed; others run on a backtracking engine, as they look ahead.
package match

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// Matcher yields where a text matches, in order and without overlap: the first
// byte, and the one after the last. A Matcher may be used concurrently.
type Matcher func(text string) iter.Seq2[int, int]

// pattern is how tokenizer.json writes a pattern; one of the two is set.
type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// Parse reads a pattern of a Split or a Replace.
func Parse(raw json.RawMessage) (Matcher, error) {
	if len(raw) == 0 {
		return nil, errors.New("there is no pattern")
	}
	var p pattern
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("pattern %s: %w", raw, err)
	}
	switch {
	case p.String != nil && *p.String != "":
		return Literal(*p.String), nil
	case p.Regex != nil && *p.Regex != "":
		return Regex(*p.Regex)
	}
	return nil, fmt.Errorf("pattern %s: it needs a String or a Regex that is not empty", raw)
}

// Literal matches a string.
func Literal(s string) Matcher {
	return func(text string) iter.Seq2[int, int] {
		return func(yield func(int, int) bool) {
			for at := 0; ; {
				k := strings.Index(text[at:], s)
				if k < 0 || !yield(at+k, at+k+len(s)) {
					return
				}
				at += k + len(s)
			}
		}
	}
}

// Rune matches every single rune that is of a kind.
func Rune(is func(rune) bool) Matcher {
	return func(text string) iter.Seq2[int, int] {
		return func(yield func(int, int) bool) {
			for at := 0; at < len(text); {
				r, n := utf8.DecodeRuneInString(text[at:])
				if is(r) && !yield(at, at+n) {
					return
				}
				at += n
			}
		}
	}
}

// scanner returns the length of the match at the front of a text that is not
// empty; where there is none, the bytes to skip before looking again.
type scanner func(text string) (n int, ok bool)

func (s scanner) matcher() Matcher {
	return func(text string) iter.Seq2[int, int] {
		return func(yield func(int, int) bool) {
			for at := 0; at < len(text); {
				n, ok := s(text[at:])
				if ok && !yield(at, at+n) {
					return
				}
				at += n
			}
		}
	}
}

// Replace puts another text where a text matches.
func Replace(m Matcher, text, by string) string {
	var b strings.Builder
	rest := 0
	for start, end := range m(text) {
		b.WriteString(text[rest:start])
		b.WriteString(by)
		rest = end
	}
	if rest == 0 && b.Len() == 0 {
		return text
	}
	b.WriteString(text[rest:])
	return b.String()
}
