// Package normalize changes texts before they are split, as the normalizers of
// tokenizer.json do. Bytes that are no UTF-8 stay as they are.
package normalize

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/bytelevel"
	"tempera/training/tokenizer/charclass"
	"tempera/training/tokenizer/match"
)

// Step changes a text. It may be called concurrently.
type Step func(Text) Text

// Text is a text that is being normalized.
type Text struct {
	String string
	Cut    bool // what it began with has been removed
	Joins  bool // it goes on where another text ends
}

// keepingFront makes a step of a function that removes nothing from the front
// that counts as such.
func keepingFront(f func(string) string) Step {
	return func(t Text) Text {
		t.String = f(t.String)
		return t
	}
}

// part holds the fields of every normalizer.
type part struct {
	Type        string            `json:"type"`
	Normalizers []json.RawMessage `json:"normalizers"`
	Pattern     json.RawMessage   `json:"pattern"`
	Content     string            `json:"content"`
	Prepend     string            `json:"prepend"`
	StripLeft   bool              `json:"strip_left"`
	StripRight  bool              `json:"strip_right"`
	Charsmap    string            `json:"precompiled_charsmap"`

	CleanText    bool  `json:"clean_text"`
	ChineseChars bool  `json:"handle_chinese_chars"`
	StripAccents *bool `json:"strip_accents"`
	Lowercase    bool  `json:"lowercase"`
}

// Parse reads a normalizer; it returns nil for one that is null or absent.
func Parse(raw json.RawMessage) (Step, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	switch p.Type {
	case "Sequence":
		return sequence(p.Normalizers)
	case "NFC":
		return keepingFront(nfc.apply), nil
	case "NFD":
		return keepingFront(nfd.apply), nil
	case "NFKC":
		return keepingFront(nfkc.apply), nil
	case "NFKD":
		return keepingFront(nfkd.apply), nil
	case "Lowercase":
		return keepingFront(Lower), nil
	case "StripAccents":
		return without(charclass.Mark), nil
	case "BertNormalizer":
		return bert(p), nil
	case "Replace":
		return replace(p)
	case "Prepend":
		return func(t Text) Text {
			if t.String != "" && !t.Joins {
				t.String = p.Prepend + t.String
			}
			return t
		}, nil
	case "Strip":
		return func(t Text) Text { return strip(t, p) }, nil
	case "Nmt":
		return filter(nmt), nil
	case "Precompiled":
		return precompiled(p.Charsmap)
	case "ByteLevel":
		return keepingFront(bytelevel.Name), nil
	case "":
		return nil, errors.New("it has no type")
	}
	return nil, fmt.Errorf("type %s is not known", p.Type)
}

func sequence(raws []json.RawMessage) (Step, error) {
	var steps []Step
	for i, raw := range raws {
		s, err := Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i, err)
		}
		if s != nil {
			steps = append(steps, s)
		}
	}
	return all(steps), nil
}

// all takes one step after the other.
func all(steps []Step) Step {
	return func(t Text) Text {
		for _, s := range steps {
			t = s(t)
		}
		return t
	}
}

func replace(p part) (Step, error) {
	m, err := match.Parse(p.Pattern)
	if err != nil {
		return nil, err
	}
	return func(t Text) Text {
		for start, end := range m(t.String) { // what replaces runes counts as the last of them
			t.Cut = t.Cut || start == 0 && (p.Content == "" || utf8.RuneCountInString(t.String[:end]) > 1)
			break
		}
		t.String = match.Replace(m, t.String, p.Content)
		return t
	}, nil
}

func strip(t Text, p part) Text {
	is := func(r rune) bool { return charclass.Is(r, charclass.Space) }
	if p.StripLeft {
		before := len(t.String)
		t.String = strings.TrimLeftFunc(t.String, is)
		t.Cut = t.Cut || len(t.String) < before
	}
	if p.StripRight {
		t.String = strings.TrimRightFunc(t.String, is)
	}
	return t
}

// deleted is what a function of eachRune returns for a rune to leave out.
const deleted = -1

// eachRune replaces every rune by another. It returns the text itself, where
// nothing changes.
func eachRune(text string, to func(rune) rune) string {
	var b strings.Builder
	changed := false
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		t := r
		if r != utf8.RuneError || n > 1 {
			t = to(r)
		}
		if t != r && !changed {
			changed = true
			b.Grow(len(text))
			b.WriteString(text[:i])
		}
		switch {
		case !changed || t == deleted:
		case t != r:
			b.WriteRune(t)
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

// Lower maps every rune to lower case by itself: no rule looks at neighbours (a
// final sigma stays σ).
func Lower(text string) string {
	if strings.Contains(text, "İ") { // the one rune whose lower case is two
		text = strings.ReplaceAll(text, "İ", "i\u0307")
	}
	return eachRune(text, charclass.Lower)
}

// filter replaces every rune by another, or deletes it.
func filter(to func(rune) rune) Step {
	return func(t Text) Text {
		if r, _ := utf8.DecodeRuneInString(t.String); t.String != "" && to(r) == deleted {
			t.Cut = true
		}
		t.String = eachRune(t.String, to)
		return t
	}
}

func without(c charclass.Class) Step {
	return filter(func(r rune) rune {
		if charclass.Is(r, c) {
			return deleted
		}
		return r
	})
}

// nmt is SentencePiece's cleaning of control characters and odd spaces.
func nmt(r rune) rune {
	switch {
	case r >= 0x01 && r <= 0x08, r == 0x0b, r >= 0x0e && r <= 0x1f, r == 0x7f, r == 0x8f, r == 0x9f:
		return deleted
	case r == 0x09, r == 0x0a, r == 0x0c, r == 0x0d, r == 0x1680, r >= 0x200b && r <= 0x200f,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xfeff, r == 0xfffd:
		return ' '
	}
	return r
}
