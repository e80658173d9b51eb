// Package tokenizer turns text into token ids and back by byte-level byte-pair
// encoding, and trains such vocabularies. It reads and writes Hugging Face's
// tokenizer.json and gives the ids that Hugging Face's libraries give.
//
// Text is cut in four steps: added tokens such as [EOS] are taken out; the rest
// is lower-cased, where the tokenizer does that; it is split into words (see
// split); the bytes of each word are merged pair by pair in the order in which
// training found the pairs. Every byte is a token of its own, so that any bytes
// at all come back as they were.
//
// Start reading at Train and Tokenizer.Encode.
package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Tokenizer encodes and decodes. Its methods may be called concurrently.
type Tokenizer struct {
	tokens  []string         // bytes of each id, as decoding writes them; holes are ""
	names   []string         // of each id as tokenizer.json has it: bytes as visible characters
	ids     map[string]int32 // by name
	bytes   [256]int32       // of the tokens of one byte
	merges  []pair           // in order of rank
	ranks   map[pair]merge
	added   []Added // in the order of their ids
	options format

	cache struct {
		sync.RWMutex
		words map[string][]int32
	}
}

// Added is a token that is matched as a whole before anything else is done.
type Added struct {
	ID      int32
	Text    string
	Special bool // not part of what a person reads
}

// pair is two neighbouring tokens.
type pair struct{ left, right int32 }

// merge says when a pair is merged, and into what.
type merge struct{ rank, id int32 }

// format is what tokenizer.json says beside vocabulary and merges.
type format struct {
	lowercase    bool
	prefixSpace  bool   // a space is put before text that does not begin with one
	wholeText    bool   // words are not split
	ignoreMerges bool   // a word that is a token is that token, whatever the merges
	template     []item // of what TemplateProcessing makes; nil without one
}

// item is one part of a template.
type item struct {
	text bool // the ids of the text; otherwise the token id
	id   int32
}

// SpecialNames are the texts of the tokens that models need.
type SpecialNames struct {
	Pad string // fills batches; default [PAD]
	BOS string // begins what a decoder writes; default [BOS]
	EOS string // ends it; default [EOS]
	ENC string // begins a text that is encoded with an image; default [ENC]
}

// withDefaults fills in the names that are not set.
func (n SpecialNames) withDefaults() SpecialNames {
	for _, d := range []struct {
		name *string
		text string
	}{{&n.Pad, "[PAD]"}, {&n.BOS, "[BOS]"}, {&n.EOS, "[EOS]"}, {&n.ENC, "[ENC]"}} {
		if *d.name == "" {
			*d.name = d.text
		}
	}
	return n
}

func (n SpecialNames) list() []string { return []string{n.Pad, n.BOS, n.EOS, n.ENC} }

// Special are the ids of the tokens that models need.
type Special struct{ Pad, BOS, EOS, ENC int32 }

// Special looks the special tokens up by their names, those not given by their
// defaults. The error names every one that is missing.
func (t *Tokenizer) Special(names SpecialNames) (Special, error) {
	var s Special
	var missing []string
	names = names.withDefaults()
	for i, id := range []*int32{&s.Pad, &s.BOS, &s.EOS, &s.ENC} {
		name := names.list()[i]
		k := slices.IndexFunc(t.added, func(a Added) bool { return a.Text == name })
		if k < 0 {
			missing = append(missing, name)
			continue
		}
		*id = t.added[k].ID
	}
	if len(missing) > 0 {
		has := make([]string, len(t.added))
		for i, a := range t.added {
			has[i] = a.Text
		}
		return Special{}, fmt.Errorf("the tokenizer has no token %s (its added tokens: %s)",
			strings.Join(missing, ", "), strings.Join(has, ", "))
	}
	return s, nil
}

// Size is one more than the greatest id: the rows of an embedding.
func (t *Tokenizer) Size() int { return len(t.names) }

// ID returns the id of a token by its name in tokenizer.json, e.g. "[EOS]" or
// "Ġcat" (Ġ stands for a space).
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the name of a token in tokenizer.json.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(t.names) || t.names[id] == "" {
		return "", false
	}
	return t.names[id], true
}

// Added lists the added tokens by id.
func (t *Tokenizer) Added() []Added { return slices.Clone(t.added) }

// Encode returns the ids of a text. Added tokens in the text become their ids,
// as in Hugging Face's libraries; the template is not applied.
func (t *Tokenizer) Encode(text string) []int32 {
	ids := make([]int32, 0, len(text)/3+1)
	for text != "" {
		at, a := t.nextAdded(text)
		ids = t.encodeText(ids, text[:at])
		if a == nil {
			break
		}
		ids = append(ids, a.ID)
		text = text[at+len(a.Text):]
	}
	return ids
}

// EncodePlain is Encode for text that nobody vouches for: what looks like an
// added token in it stays text.
func (t *Tokenizer) EncodePlain(text string) []int32 {
	return t.encodeText(make([]int32, 0, len(text)/3+1), text)
}

// Wrap puts ids into the tokenizer's template, e.g. between [BOS] and [EOS].
// Without a template it returns a copy.
func (t *Tokenizer) Wrap(ids []int32) []int32 {
	if t.options.template == nil {
		return slices.Clone(ids)
	}
	out := make([]int32, 0, len(ids)+len(t.options.template))
	for _, i := range t.options.template {
		if i.text {
			out = append(out, ids...)
		} else {
			out = append(out, i.id)
		}
	}
	return out
}

// nextAdded finds the first added token in a text, of several there the
// longest; without one, at is the length of the text.
func (t *Tokenizer) nextAdded(text string) (at int, found *Added) {
	at = len(text)
	for i := range t.added {
		a := &t.added[i]
		k := strings.Index(text[:min(len(text), at+len(a.Text))], a.Text)
		if k >= 0 && (k < at || k == at && found != nil && len(a.Text) > len(found.Text)) {
			at, found = k, a
		}
	}
	return at, found
}

// encodeText appends the ids of a text without added tokens.
func (t *Tokenizer) encodeText(ids []int32, text string) []int32 {
	if text == "" {
		return ids
	}
	if t.options.lowercase {
		text = lower(text)
	}
	if t.options.prefixSpace && text[0] != ' ' {
		text = " " + text
	}
	if t.options.wholeText {
		return t.encodeWord(ids, text)
	}
	for word := range split(text) {
		ids = t.encodeWord(ids, word)
	}
	return ids
}

// Bounds of the cache of words: 64 Ki words of at most 64 bytes.
const (
	cachedWords    = 1 << 16
	cachedWordSize = 64
)

// encodeWord appends the ids of a word, from the cache where they are known.
func (t *Tokenizer) encodeWord(ids []int32, word string) []int32 {
	if len(word) > cachedWordSize {
		return append(ids, t.merge(word)...)
	}
	t.cache.RLock()
	known, ok := t.cache.words[word]
	t.cache.RUnlock()
	if ok {
		return append(ids, known...)
	}
	known = t.merge(word)
	t.cache.Lock()
	if len(t.cache.words) < cachedWords {
		t.cache.words[strings.Clone(word)] = known
	}
	t.cache.Unlock()
	return append(ids, known...)
}

// Decode returns the text of ids, special tokens included, so that it undoes
// Encode to the byte. An id that is not in the vocabulary becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(t.text(id))
	}
	return b.String()
}

// DecodePlain is Decode without the special tokens: what a person reads.
func (t *Tokenizer) DecodePlain(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		if !t.special(id) {
			b.WriteString(t.text(id))
		}
	}
	return b.String()
}

func (t *Tokenizer) text(id int32) string {
	if _, ok := t.Token(id); !ok {
		return "\uFFFD"
	}
	return t.tokens[id]
}

func (t *Tokenizer) special(id int32) bool {
	k, ok := slices.BinarySearchFunc(t.added, id, func(a Added, id int32) int { return int(a.ID) - int(id) })
	return ok && t.added[k].Special
}
