// Package pretoken splits texts into words before they become tokens, as the
// pre-tokenizers of tokenizer.json do.
package pretoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/bytelevel"
	"tempera/training/tokenizer/charclass"
	"tempera/training/tokenizer/match"
)

// Word is a piece of a text.
type Word struct {
	Text  string
	First bool // it begins where the whole text does
	Joins bool // it goes on where another text ends, so that nothing is put before it
}

// part is the bytes of a word from start to stop.
func (w Word) part(start, stop int) Word {
	return Word{Text: w.Text[start:stop], First: w.First && start == 0, Joins: w.Joins && start == 0}
}

// Step appends the words of a word. It may be called concurrently.
type Step func(out []Word, w Word) []Word

// Splitter is what a pre-tokenizer does.
type Splitter struct {
	Steps []Step
	Bytes bool // the words' bytes are to be named as package bytelevel does; the steps have not done it
}

// part holds the fields of every pre-tokenizer.
type part struct {
	Type           string            `json:"type"`
	PreTokenizers  []json.RawMessage `json:"pretokenizers"`
	Pattern        json.RawMessage   `json:"pattern"`
	Behavior       string            `json:"behavior"`
	Invert         bool              `json:"invert"`
	AddPrefixSpace *bool             `json:"add_prefix_space"`
	UseRegex       *bool             `json:"use_regex"`
	Replacement    string            `json:"replacement"`
	PrependScheme  string            `json:"prepend_scheme"`
	Split          *bool             `json:"split"`
	Individual     bool              `json:"individual_digits"`
	Delimiter      string            `json:"delimiter"`
	Length         *int              `json:"length"`
}

// Parse reads a pre-tokenizer; null and none split nothing.
func Parse(raw json.RawMessage) (Splitter, error) {
	var s Splitter
	if len(raw) == 0 || string(raw) == "null" {
		return s, nil
	}
	return s, s.parse(raw)
}

// Named returns a splitter that names bytes itself.
func (s Splitter) Named() Splitter {
	if s.Bytes {
		s.Bytes = false
		s.add(nameBytes)
	}
	return s
}

func (s *Splitter) parse(raw json.RawMessage) error {
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if p.Type != "Sequence" {
		*s = s.Named() // what comes after bytes sees their names
	}
	switch p.Type {
	case "Sequence":
		for i, raw := range p.PreTokenizers {
			if err := s.parse(raw); err != nil {
				return fmt.Errorf("part %d: %w", i, err)
			}
		}
		return nil
	case "ByteLevel":
		s.Bytes = true
		return s.byteLevel(p)
	case "Split":
		m, err := match.Parse(p.Pattern)
		if err != nil {
			return err
		}
		return s.cut(m, p.Behavior, p.Invert)
	case "Metaspace":
		return s.metaspace(p)
	case "BertPreTokenizer":
		return errors.Join(s.cut(runes(charclass.Space), "Removed", false), s.cut(runes(charclass.Punct), "Isolated", false))
	case "Whitespace":
		return s.cut(wordsAndSigns, "Removed", true)
	case "WhitespaceSplit":
		return s.cut(runes(charclass.Space), "Removed", false)
	case "Punctuation":
		if p.Behavior == "" {
			p.Behavior = "Isolated"
		}
		return s.cut(runes(charclass.Punct), p.Behavior, false)
	case "Digits":
		behavior := "Contiguous"
		if p.Individual {
			behavior = "Isolated"
		}
		return s.cut(runes(charclass.Numeric), behavior, false)
	case "CharDelimiterSplit":
		if utf8.RuneCountInString(p.Delimiter) != 1 {
			return fmt.Errorf("the delimiter %q is no character", p.Delimiter)
		}
		return s.cut(match.Literal(p.Delimiter), "Removed", false)
	case "FixedLength":
		return s.fixedLength(p)
	case "":
		return errors.New("it has no type")
	}
	return fmt.Errorf("type %s is not known", p.Type)
}

func (s *Splitter) add(step Step) { s.Steps = append(s.Steps, step) }

func (s *Splitter) cut(m match.Matcher, behavior string, invert bool) error {
	step, err := cut(m, behavior, invert)
	if err != nil {
		return err
	}
	s.add(step)
	return nil
}

func runes(c charclass.Class) match.Matcher {
	return match.Rune(func(r rune) bool { return charclass.Is(r, c) })
}

// wordsAndSigns is \w+|[^\w\s]+.
func wordsAndSigns(text string) iter.Seq2[int, int] {
	kind := func(r rune) charclass.Class { return charclass.Of(r) & (charclass.Word | charclass.Space) }
	return func(yield func(int, int) bool) {
		start, was := 0, charclass.Space
		for i, r := range text {
			is := kind(r)
			if is == was {
				continue
			}
			if was != charclass.Space && !yield(start, i) {
				return
			}
			start, was = i, is
		}
		if was != charclass.Space {
			yield(start, len(text))
		}
	}
}

func (s *Splitter) byteLevel(p part) error {
	if p.AddPrefixSpace == nil || *p.AddPrefixSpace {
		s.add(func(out []Word, w Word) []Word {
			if !w.Joins && !strings.HasPrefix(w.Text, " ") {
				w.Text = " " + w.Text
			}
			return append(out, w)
		})
	}
	if p.UseRegex != nil && !*p.UseRegex {
		return nil
	}
	m, err := match.Regex(match.GPT2)
	if err != nil {
		return err
	}
	return s.cut(m, "Isolated", false)
}

func nameBytes(out []Word, w Word) []Word {
	w.Text = bytelevel.Name(w.Text)
	return append(out, w)
}

func (s *Splitter) metaspace(p part) error {
	if utf8.RuneCountInString(p.Replacement) != 1 {
		return fmt.Errorf("the replacement %q is no character", p.Replacement)
	}
	if p.AddPrefixSpace != nil && !*p.AddPrefixSpace {
		if p.PrependScheme != "" && p.PrependScheme != "never" {
			return fmt.Errorf("add_prefix_space is off, but prepend_scheme is %s", p.PrependScheme)
		}
		p.PrependScheme = "never"
	}
	switch p.PrependScheme {
	case "", "always", "first", "never":
	default:
		return fmt.Errorf("prepend_scheme %s is not known", p.PrependScheme)
	}
	s.add(func(out []Word, w Word) []Word {
		w.Text = strings.ReplaceAll(w.Text, " ", p.Replacement)
		prepend := !w.Joins && p.PrependScheme != "never" && (p.PrependScheme != "first" || w.First)
		if prepend && !strings.HasPrefix(w.Text, p.Replacement) {
			w.Text = p.Replacement + w.Text
		}
		return append(out, w)
	})
	if p.Split == nil || *p.Split {
		return s.cut(match.Literal(p.Replacement), "MergedWithNext", false)
	}
	return nil
}

func (s *Splitter) fixedLength(p part) error {
	length := 5
	if p.Length != nil {
		length = *p.Length
	}
	if length < 1 {
		return fmt.Errorf("a length of %d: it is at least 1", length)
	}
	s.add(func(out []Word, w Word) []Word {
		start, n := 0, 0
		for i := range w.Text {
			if n == length {
				out = append(out, w.part(start, i))
				start, n = i, 0
			}
			n++
		}
		return append(out, w.part(start, len(w.Text)))
	})
	return nil
}
