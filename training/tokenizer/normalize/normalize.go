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
type Step func(text string) string

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
		return nfc.apply, nil
	case "NFD":
		return nfd.apply, nil
	case "NFKC":
		return nfkc.apply, nil
	case "NFKD":
		return nfkd.apply, nil
	case "Lowercase":
		return Lower, nil
	case "StripAccents":
		return without(charclass.Mark), nil
	case "BertNormalizer":
		return bert(p), nil
	case "Replace":
		return replace(p)
	case "Prepend":
		return func(text string) string {
			if text == "" {
				return text
			}
			return p.Prepend + text
		}, nil
	case "Strip":
		return func(text string) string { return strip(text, p) }, nil
	case "Nmt":
		return nmt, nil
	case "Precompiled":
		return precompiled(p.Charsmap)
	case "ByteLevel":
		return bytelevel.Name, nil
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
	return func(text string) string {
		for _, s := range steps {
			text = s(text)
		}
		return text
	}, nil
}

func replace(p part) (Step, error) {
	m, err := match.Parse(p.Pattern)
	if err != nil {
		return nil, err
	}
	return func(text string) string { return match.Replace(m, text, p.Content) }, nil
}

func strip(text string, p part) string {
	is := func(r rune) bool { return charclass.Is(r, charclass.Space) }
	if p.StripLeft {
		text = strings.TrimLeftFunc(text, is)
	}
	if p.StripRight {
		text = strings.TrimRightFunc(text, is)
	}
	return text
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

func without(c charclass.Class) Step {
	return func(text string) string {
		return eachRune(text, func(r rune) rune {
			if charclass.Is(r, c) {
				return deleted
			}
			return r
		})
	}
}

// nmt is SentencePiece's cleaning of control characters and odd spaces.
func nmt(text string) string {
	return eachRune(text, func(r rune) rune {
		switch {
		case r >= 0x01 && r <= 0x08, r == 0x0b, r >= 0x0e && r <= 0x1f, r == 0x7f, r == 0x8f, r == 0x9f:
			return deleted
		case r == 0x09, r == 0x0a, r == 0x0c, r == 0x0d, r == 0x1680, r >= 0x200b && r <= 0x200f,
			r == 0x2028, r == 0x2029, r == 0x2581, r == 0xfeff, r == 0xfffd:
			return ' '
		}
		return r
	})
}
