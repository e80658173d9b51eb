package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"

	"tempera/training/tokenizer/bytelevel"
	"tempera/training/tokenizer/decode"
	"tempera/training/tokenizer/normalize"
	"tempera/training/tokenizer/pretoken"
)

// file is tokenizer.json. Its parts are kept as they are written, to be written
// again; truncation and padding are what callers do.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedJSON     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedJSON struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// JSON returns the tokenizer.json of t: equal tokenizers give equal bytes.
func (t *Tokenizer) JSON() ([]byte, error) {
	compact, err := plain(t.file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return b.Bytes(), nil
}

// plain is json.Marshal that leaves <, > and & as they are.
func plain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return b.Bytes(), nil
}

// Parse reads a tokenizer.json. What it cannot do as Hugging Face's library does
// it, it refuses.
func Parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return f.tokenizer()
}

func (f file) tokenizer() (*Tokenizer, error) {
	t := &Tokenizer{
		file: f, ids: vocabulary{}, seed: maphash.MakeSeed(), cache: new([cachedWords]atomic.Pointer[cached]),
	}
	for _, step := range []struct {
		name string
		read func() error
	}{
		{"version", t.checkVersion},
		{"normalizer", t.readNormalizer},
		{"pre-tokenizer", t.readPreTokenizer},
		{"model", t.readModel},
		{"added tokens", t.readAdded},
		{"post-processor", func() error { return t.readProcessor(f.PostProcessor) }},
		{"decoder", t.readDecoder},
	} {
		if err := step.read(); err != nil {
			return nil, fmt.Errorf("tokenizer.json: %s: %w", step.name, err)
		}
	}
	return t, nil
}

func (t *Tokenizer) checkVersion() error {
	if v := t.file.Version; v != "1.0" && v != "" {
		return fmt.Errorf("%q is not known, only 1.0", v)
	}
	return nil
}

func (t *Tokenizer) readNormalizer() (err error) {
	t.normalize, err = normalize.Parse(t.file.Normalizer)
	return err
}

func (t *Tokenizer) readPreTokenizer() (err error) {
	t.words, err = pretoken.Parse(t.file.PreTokenizer)
	return err
}

// models are the kinds of models by their type in tokenizer.json.
func models() map[string]func(json.RawMessage) (model, vocabulary, error) {
	return map[string]func(json.RawMessage) (model, vocabulary, error){
		"BPE":       readBPE,
		"Unigram":   readUnigram,
		"WordLevel": readWordLevel,
		"WordPiece": readWordPiece,
	}
}

func (t *Tokenizer) readModel() error {
	var head struct {
		Type string `json:"type"`
	}
	if len(t.file.Model) == 0 {
		return errors.New("there is none")
	}
	if err := json.Unmarshal(t.file.Model, &head); err != nil {
		return err
	}
	kinds := models()
	read, ok := kinds[cmp.Or(head.Type, "BPE")] // the oldest files have no type
	if !ok {
		return fmt.Errorf("type %s is not known, only %v", head.Type, slices.Sorted(maps.Keys(kinds)))
	}
	m, vocab, err := read(t.file.Model)
	if err != nil {
		return err
	}
	t.model = m
	if b, ok := m.(*bpe); ok {
		if t.words.Bytes {
			b.useBytes()
		} else if b.noUnknown != nil {
			return b.noUnknown
		}
		t.keepsBytes = t.words.Bytes || b.bytes != nil
		if b.splitsAtBlanks() {
			t.words.Steps = append(t.words.Steps, splitAtBlanks)
		}
	} else if t.words.Bytes {
		t.words = t.words.Named()
	}
	var faults []error
	for name, id := range vocab {
		faults = append(faults, t.put(name, id))
	}
	return first(faults)
}

// first returns the first of errors by their texts, whatever their order.
func first(faults []error) error {
	faults = slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	if len(faults) == 0 {
		return nil
	}
	return slices.MinFunc(faults, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
}

// maxID bounds the vocabulary, so that a wrong id cannot ask for all memory.
const maxID = 1 << 22

// put gives a token an id.
func (t *Tokenizer) put(name string, id int32) error {
	if id < 0 || id > maxID {
		return fmt.Errorf("token %q has id %d: ids are 0 to %d", name, id, maxID)
	}
	if int(id) >= len(t.names) {
		t.names = append(t.names, make([]string, int(id)+1-len(t.names))...)
	}
	if there := t.names[id]; there != "" && there != name {
		return fmt.Errorf("tokens %q and %q have the same id %d", min(there, name), max(there, name), id)
	}
	if other, ok := t.ids[name]; ok && other != id {
		return fmt.Errorf("token %q has ids %d and %d", name, other, id)
	}
	t.ids[name], t.names[id] = id, name
	return nil
}

func (t *Tokenizer) readAdded() error {
	for _, a := range t.file.AddedTokens {
		if a.Content == "" {
			return fmt.Errorf("the token with id %d has no text", a.ID)
		}
		if err := t.put(a.Content, a.ID); err != nil {
			return err
		}
		if _, again := t.addedByID(a.ID); again {
			return fmt.Errorf("%q is there twice", a.Content)
		}
		t.added = append(t.added, Added{
			ID: a.ID, Text: a.Content, Special: a.Special, SingleWord: a.SingleWord,
			LStrip: a.LStrip, RStrip: a.RStrip, Normalized: a.Normalized,
		})
		slices.SortFunc(t.added, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	}
	t.found[AllAdded] = t.finding(t.added)
	t.found[VisibleAdded] = t.finding(slices.DeleteFunc(slices.Clone(t.added), func(a Added) bool { return a.Special }))
	return nil
}

// finding makes the sets that find added tokens.
func (t *Tokenizer) finding(tokens []Added) found {
	var whole, normalized []Added
	for _, a := range tokens {
		if a.Normalized {
			normalized = append(normalized, a)
		} else {
			whole = append(whole, a)
		}
	}
	return found{newAddedSet(whole, func(a Added) string { return a.Text }), newAddedSet(normalized, t.normalForm)}
}

// normalForm is what an added token is in normalized text.
func (t *Tokenizer) normalForm(a Added) string {
	if t.normalize == nil || !a.Normalized {
		return a.Text
	}
	return t.normalize(normalize.Text{String: a.Text}).String
}

// spoken is an added token as the decoder takes it: where that reads names of
// bytes, the name of the token's text.
func (t *Tokenizer) spoken(a Added) string {
	if t.namesBytes {
		return bytelevel.Name(a.Text)
	}
	return t.normalForm(a)
}

func (t *Tokenizer) readDecoder() (err error) {
	var head struct {
		Type string `json:"type"`
	}
	if len(t.file.Decoder) > 0 {
		if err := json.Unmarshal(t.file.Decoder, &head); err != nil {
			return err
		}
	}
	t.namesBytes = head.Type == "ByteLevel"
	t.decoder, err = decode.Parse(t.file.Decoder)
	return err
}
