// Package tokenizer turns text into token ids and back. It reads and writes
// Hugging Face's tokenizer.json and gives the ids that Hugging Face's library
// gives, whether the model is byte-pair encoding (GPT-2, Llama, Qwen2, CLIP),
// WordPiece (BERT) or Unigram (T5, SigLIP). It trains byte-level byte-pair
// encoding, which is what this module's own models use.
//
// Text is cut in steps: added tokens such as [EOS] are taken out (added.go); the
// rest is normalized (package normalize) and split into words (package
// pretoken); the model makes tokens of each word (bpe.go, wordpiece.go,
// unigram.go); the template puts special tokens around all (template.go).
// Package decode joins tokens into text.
//
// Bytes that are no UTF-8 are text as well. A vocabulary of bytes keeps them,
// unless a normalizer changes them; to any other they are a U+FFFD each.
//
// Start reading at Parse and Tokenizer.Encode.
package tokenizer

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"tempera/training/tokenizer/decode"
	"tempera/training/tokenizer/normalize"
	"tempera/training/tokenizer/pretoken"
)

// Tokenizer encodes and decodes. Its methods may be called concurrently.
type Tokenizer struct {
	file  file // as it was read or made
	names []string
	ids   vocabulary
	added []Added // in the order of their ids

	found      [3]found // added tokens, by Matched
	normalize  normalize.Step
	words      pretoken.Splitter
	model      model
	template   []item // nil without one
	decoder    decode.Decoder
	keepsBytes bool // bytes that are no UTF-8 have tokens
	namesBytes bool // the decoder reads names of bytes

	cache   *[cachedWords]atomic.Pointer[cached]
	seed    maphash.Seed
	scratch sync.Pool // of *words
}

// vocabulary is tokens by their names in tokenizer.json.
type vocabulary map[string]int32

// model makes tokens of words.
type model interface {
	// encode appends the ids of a word that is not empty.
	encode(ids []int32, word string) []int32
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

// EncodeSpecial is Encode with the template's tokens, such as [CLS] and [SEP]:
// what a model takes.
func (t *Tokenizer) EncodeSpecial(text string) []int32 { return t.Wrap(t.Encode(text)) }

// encodeText appends the ids of a text without added tokens that are matched
// before normalizing. First says that the whole text begins with it.
func (t *Tokenizer) encodeText(ids []int32, w pretoken.Word, added *addedSet) []int32 {
	if t.normalize != nil {
		n := t.normalize(normalize.Text{String: w.Text, Joins: w.Joins})
		w = pretoken.Word{Text: n.String, First: w.First && !n.Cut, Joins: w.Joins}
	}
	added.cut(w.Text, func(text string, start int) {
		ids = t.encodeWords(ids, pretoken.Word{Text: text, First: w.First && start == 0, Joins: w.Joins && start == 0})
	}, func(id int32) { ids = append(ids, id) })
	return ids
}

// words are two lists that the steps of splitting fill in turn.
type words [2][]pretoken.Word

func (t *Tokenizer) encodeWords(ids []int32, w pretoken.Word) []int32 {
	if w.Text == "" {
		return ids
	}
	lists, ok := t.scratch.Get().(*words)
	if !ok {
		lists = &words{}
	}
	from, to := append(lists[0][:0], w), lists[1]
	for _, step := range t.words.Steps {
		to = to[:0]
		for _, w := range from {
			to = step(to, w)
		}
		from, to = to, from
	}
	for _, w := range from {
		if w.Text != "" {
			ids = t.encodeWord(ids, w.Text)
		}
	}
	*lists = words{from, to}
	t.scratch.Put(lists)
	return ids
}

// Bounds of the cache of words: 64 Ki words of at most 64 bytes. A word takes
// the place of another with the same hash.
const (
	cachedWords    = 1 << 16
	cachedWordSize = 64
)

type cached struct {
	word string
	ids  []int32
}

// encodeWord appends the ids of a word, from the cache where they are known.
func (t *Tokenizer) encodeWord(ids []int32, word string) []int32 {
	if len(word) > cachedWordSize {
		return t.model.encode(ids, word)
	}
	place := &t.cache[maphash.String(t.seed, word)%cachedWords]
	if known := place.Load(); known != nil && known.word == word {
		return append(ids, known.ids...)
	}
	before := len(ids)
	ids = t.model.encode(ids, word)
	place.Store(&cached{strings.Clone(word), slices.Clone(ids[before:])})
	return ids
}

// text makes the bytes that are no UTF-8 what the model can read.
func (t *Tokenizer) text(text string) string {
	if t.keepsBytes || utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
