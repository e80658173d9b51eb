// Package decode joins the names of tokens into text, as the decoders of
// tokenizer.json do. Every decoder takes one token after the other and gives
// text as soon as no later token can change it, so that the same code decodes
// whole lists and streams.
package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/bytelevel"
	"tempera/training/tokenizer/match"
)

// Run decodes one list of tokens.
type Run interface {
	// Token takes the next token and passes on what is certain.
	Token(token string, emit func(string))
	// End passes on what is left.
	End(emit func(string))
}

// Decoder starts runs. It may be called concurrently, a Run may not.
type Decoder func() Run

// part holds the fields of every decoder.
type part struct {
	Type          string            `json:"type"`
	Decoders      []json.RawMessage `json:"decoders"`
	Pattern       json.RawMessage   `json:"pattern"`
	Content       string            `json:"content"`
	Start         int               `json:"start"`
	Stop          int               `json:"stop"`
	Replacement   string            `json:"replacement"`
	PrependScheme string            `json:"prepend_scheme"`
	AddPrefix     *bool             `json:"add_prefix_space"`
	Prefix        *string           `json:"prefix"`
	Cleanup       *bool             `json:"cleanup"`
	Suffix        *string           `json:"suffix"`
}

// Parse reads a decoder. Without one, blanks stand between the tokens.
func Parse(raw json.RawMessage) (Decoder, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return each(func(token string, first bool) string {
			if first {
				return token
			}
			return " " + token
		}), nil
	}
	var p part
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	switch p.Type {
	case "Sequence":
		return sequence(p.Decoders)
	case "ByteLevel":
		return each(func(token string, _ bool) string { return Bytes(token) }), nil
	case "Fuse":
		return fuse, nil
	case "ByteFallback":
		return func() Run { return &byteFallback{} }, nil
	case "Replace":
		m, err := match.Parse(p.Pattern)
		if err != nil {
			return nil, err
		}
		return each(func(token string, _ bool) string { return match.Replace(m, token, p.Content) }), nil
	case "Strip":
		return strip(p)
	case "Metaspace":
		return metaspace(p)
	case "WordPiece":
		return wordPiece(p), nil
	case "BPEDecoder":
		suffix := "</w>"
		if p.Suffix != nil {
			suffix = *p.Suffix
		}
		return func() Run { return &bpe{suffix: suffix} }, nil
	case "":
		return nil, errors.New("it has no type")
	}
	return nil, fmt.Errorf("type %s is not known", p.Type)
}

// eachRun changes every token by itself.
type eachRun struct {
	change func(token string, first bool) string
	begun  bool
}

func each(change func(token string, first bool) string) Decoder {
	return func() Run { return &eachRun{change: change} }
}

func (e *eachRun) Token(token string, emit func(string)) {
	emit(e.change(token, !e.begun))
	e.begun = true
}

func (*eachRun) End(func(string)) {}

// Bytes returns the bytes that a token's name stands for; a name that stands for
// none is text.
func Bytes(token string) string {
	if b, ok := bytelevel.Bytes(token); ok {
		return b
	}
	return token
}

func metaspace(p part) (Decoder, error) {
	if utf8.RuneCountInString(p.Replacement) != 1 {
		return nil, fmt.Errorf("the replacement %q is no character", p.Replacement)
	}
	prepended := p.PrependScheme != "never" && (p.AddPrefix == nil || *p.AddPrefix)
	return each(func(token string, first bool) string {
		blank := " "
		if first && prepended {
			blank = ""
		}
		return strings.ReplaceAll(token, p.Replacement, blank)
	}), nil
}

// cleaner undoes blanks that tokenizing put before punctuation.
var cleanup = [][2]string{
	{" .", "."},
	{" ?", "?"},
	{" !", "!"},
	{" ,", ","},
	{" ' ", "'"},
	{" n't", "n't"},
	{" 'm", "'m"},
	{" do not", " don't"},
	{" 's", "'s"},
	{" 've", "'ve"},
	{" 're", "'re"},
}

func wordPiece(p part) Decoder {
	prefix := "##"
	if p.Prefix != nil {
		prefix = *p.Prefix
	}
	return each(func(token string, first bool) string {
		if !first {
			continued := false
			if token, continued = strings.CutPrefix(token, prefix); !continued {
				token = " " + token
			}
		}
		if p.Cleanup == nil || *p.Cleanup {
			for _, c := range cleanup {
				token = strings.ReplaceAll(token, c[0], c[1])
			}
		}
		return token
	})
}

// bpe makes blanks of the suffixes that end words, but for the last token's.
type bpe struct {
	suffix string
	held   string // the token before
	begun  bool
}

func (d *bpe) Token(token string, emit func(string)) {
	if d.begun {
		emit(strings.ReplaceAll(d.held, d.suffix, " "))
	}
	d.held, d.begun = token, true
}

func (d *bpe) End(emit func(string)) { emit(strings.ReplaceAll(d.held, d.suffix, "")) }
