package decode

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// chain passes what one decoder emits to the next as a token.
type chain []Run

func sequence(raws []json.RawMessage) (Decoder, error) {
	var parts []Decoder
	for i, raw := range raws {
		d, err := Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i, err)
		}
		parts = append(parts, d)
	}
	return func() Run {
		c := make(chain, len(parts))
		for i, d := range parts {
			c[i] = d()
		}
		c.fuse()
		return c
	}, nil
}

// fuse lets text through the fusing decoders where only stripping follows, which
// then strips the whole instead of every token. Elsewhere fusing waits for the
// end.
func (c chain) fuse() {
	for i := len(c) - 1; i >= 0; i-- {
		switch r := c[i].(type) {
		case *fuseRun:
			r.through = true
		case *stripRun:
			continue
		default:
			return
		}
		for _, after := range c[i+1:] {
			if s, ok := after.(*stripRun); ok {
				s.whole = true
			}
		}
	}
}

func (c chain) Token(token string, emit func(string)) {
	if len(c) == 0 {
		emit(token)
		return
	}
	c[0].Token(token, func(s string) { c[1:].Token(s, emit) })
}

func (c chain) End(emit func(string)) {
	if len(c) == 0 {
		return
	}
	c[0].End(func(s string) { c[1:].Token(s, emit) })
	c[1:].End(emit)
}

// fuseRun makes one token of all.
type fuseRun struct {
	all     strings.Builder
	through bool // what follows does not care
}

func fuse() Run { return &fuseRun{} }

func (f *fuseRun) Token(token string, emit func(string)) {
	if f.through {
		emit(token)
		return
	}
	f.all.WriteString(token)
}

func (f *fuseRun) End(emit func(string)) {
	if !f.through {
		emit(f.all.String())
	}
}

// byteFallback makes text of tokens such as <0xE2>. Bytes in a row that are no
// UTF-8 together become a U+FFFD each, so none is passed on before the row ends.
type byteFallback struct{ bytes []byte }

// ByteOf returns the byte that a token such as <0xE2> stands for.
func ByteOf(token string) (byte, bool) {
	if len(token) != 6 || !strings.HasPrefix(token, "<0x") || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(b), err == nil
}

func (d *byteFallback) Token(token string, emit func(string)) {
	if b, ok := ByteOf(token); ok {
		d.bytes = append(d.bytes, b)
		return
	}
	d.End(emit)
	emit(token)
}

func (d *byteFallback) End(emit func(string)) {
	switch {
	case len(d.bytes) == 0:
		return
	case utf8.Valid(d.bytes):
		emit(string(d.bytes))
	default:
		for range d.bytes {
			emit("\uFFFD")
		}
	}
	d.bytes = d.bytes[:0]
}

// stripRun takes up to so many of a character from the ends of every token, or
// of all tokens as one.
type stripRun struct {
	char        rune
	start, stop int
	whole       bool

	text bool   // the start is over
	cut  int    // taken from it so far
	tail string // of the whole, what may have to go at the end
}

func strip(p part) (Decoder, error) {
	r, n := utf8.DecodeRuneInString(p.Content)
	if n == 0 || n != len(p.Content) || p.Start < 0 || p.Stop < 0 {
		return nil, fmt.Errorf("it strips %q %d and %d times: it needs one character and no negative number", p.Content, p.Start, p.Stop)
	}
	return func() Run { return &stripRun{char: r, start: p.Start, stop: p.Stop} }, nil
}

func (s *stripRun) Token(token string, emit func(string)) {
	char := string(s.char)
	if !s.whole {
		s.text, s.cut = false, 0
	}
	for !s.text && token != "" {
		if s.cut == s.start || !strings.HasPrefix(token, char) {
			s.text = true
			break
		}
		token = token[len(char):]
		s.cut++
	}
	token = s.tail + token
	kept := token
	for n := 0; n < s.stop && strings.HasSuffix(kept, char); n++ {
		kept = strings.TrimSuffix(kept, char)
	}
	if s.whole {
		s.tail = token[len(kept):]
	}
	emit(kept)
}

func (*stripRun) End(func(string)) {}
