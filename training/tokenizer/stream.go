package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/decode"
)

// Decode returns the text of ids, special tokens included. Where the vocabulary
// is of bytes and nothing is normalized, it undoes Encode to the byte: bytes that
// are no UTF-8 stay as they are, where Hugging Face's library writes U+FFFD. An
// id that is not in the vocabulary becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string { return decodeAll(t.DecodeStream(), ids) }

// DecodePlain is Decode without the special tokens: what a person reads. Hugging
// Face's library (0.23) leaves those in whose normalized form is another text;
// here they go as well.
func (t *Tokenizer) DecodePlain(ids []int32) string { return decodeAll(t.DecodePlainStream(), ids) }

func decodeAll(s *Stream, ids []int32) string {
	for _, id := range ids {
		s.put(id)
	}
	s.run.End(s.emit)
	return s.text.String()
}

// Stream decodes tokens one after the other, as they are generated. It must not
// be used concurrently.
type Stream struct {
	t     *Tokenizer
	run   decode.Run
	plain bool
	text  strings.Builder // not passed on yet
}

// DecodeStream starts decoding a list of ids as Decode does it.
func (t *Tokenizer) DecodeStream() *Stream { return &Stream{t: t, run: t.decoder()} }

// DecodePlainStream starts decoding a list of ids as DecodePlain does it.
func (t *Tokenizer) DecodePlainStream() *Stream {
	return &Stream{t: t, run: t.decoder(), plain: true}
}

// Next returns the text that the next token makes certain, which may be none: a
// rune whose bytes are not all there is held back, and so is what a later token
// may change.
func (s *Stream) Next(id int32) string {
	s.put(id)
	text := s.text.String()
	n := len(text) - incomplete(text)
	s.text.Reset()
	s.text.WriteString(text[n:])
	return text[:n]
}

// End returns what was held back.
func (s *Stream) End() string {
	s.run.End(s.emit)
	text := s.text.String()
	s.text.Reset()
	return text
}

func (s *Stream) emit(text string) { s.text.WriteString(text) }

func (s *Stream) put(id int32) {
	name, ok := s.t.Token(id)
	if !ok {
		name = "\uFFFD"
	}
	if a, ok := s.t.addedByID(id); ok {
		if s.plain && a.Special {
			return
		}
		name = s.t.spoken(a)
	}
	s.run.Token(name, s.emit)
}

func (t *Tokenizer) addedByID(id int32) (Added, bool) {
	k, ok := slices.BinarySearchFunc(t.added, id, func(a Added, id int32) int { return int(a.ID) - int(id) })
	if !ok {
		return Added{}, false
	}
	return t.added[k], true
}

// incomplete returns how many bytes at the end of a text begin a rune that more
// bytes may complete.
func incomplete(text string) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRuneInString(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
