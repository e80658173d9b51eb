package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// file is tokenizer.json.
type file struct {
	Version       string      `json:"version"`
	Truncation    any         `json:"truncation"`
	Padding       any         `json:"padding"`
	AddedTokens   []addedJSON `json:"added_tokens"`
	Normalizer    *part       `json:"normalizer"`
	PreTokenizer  *part       `json:"pre_tokenizer"`
	PostProcessor *part       `json:"post_processor"`
	Decoder       *part       `json:"decoder"`
	Model         model       `json:"model"`
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

// part is a normalizer, pre-tokenizer, post-processor or decoder: the fields of
// those that are read and written here.
type part struct {
	Type           string `json:"type"`
	AddPrefixSpace *bool  `json:"add_prefix_space,omitempty"`
	TrimOffsets    *bool  `json:"trim_offsets,omitempty"`
	UseRegex       *bool  `json:"use_regex,omitempty"`

	Single        []piece               `json:"single,omitempty"`
	Pair          []piece               `json:"pair,omitempty"`
	SpecialTokens map[string]specialIDs `json:"special_tokens,omitempty"`

	Normalizers   []part `json:"normalizers,omitempty"`
	PreTokenizers []part `json:"pretokenizers,omitempty"`
	Processors    []part `json:"processors,omitempty"`
}

// piece is one item of a template; one of the two is set.
type piece struct {
	SpecialToken *pieceID `json:"SpecialToken,omitempty"`
	Sequence     *pieceID `json:"Sequence,omitempty"`
}

type pieceID struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

type specialIDs struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

type model struct {
	Type                    string          `json:"type"`
	Dropout                 *float64        `json:"dropout"`
	UnkToken                *string         `json:"unk_token"`
	ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string         `json:"end_of_word_suffix"`
	FuseUnk                 bool            `json:"fuse_unk"`
	ByteFallback            bool            `json:"byte_fallback"`
	IgnoreMerges            bool            `json:"ignore_merges"`
	Vocab                   json.RawMessage `json:"vocab"`
	Merges                  json.RawMessage `json:"merges"` // "a b", or ["a","b"] since version 0.20
}

const byteLevel = "ByteLevel"

// JSON returns the tokenizer.json of t: equal tokenizers give equal bytes.
func (t *Tokenizer) JSON() ([]byte, error) {
	f := file{
		Version: "1.0",
		PreTokenizer: &part{
			Type: byteLevel, AddPrefixSpace: &t.options.prefixSpace, TrimOffsets: new(true), UseRegex: new(!t.options.wholeText),
		},
		Decoder: &part{Type: byteLevel, AddPrefixSpace: new(true), TrimOffsets: new(true), UseRegex: new(true)},
		Model:   model{Type: "BPE", IgnoreMerges: t.options.ignoreMerges},
	}
	for _, a := range t.added {
		f.AddedTokens = append(f.AddedTokens, addedJSON{ID: a.ID, Content: a.Text, Special: a.Special})
	}
	if t.options.lowercase {
		f.Normalizer = &part{Type: "Lowercase"}
	}
	if t.options.template != nil {
		f.PostProcessor = t.templatePart()
	}
	merges := make([]string, len(t.merges))
	for i, p := range t.merges {
		merges[i] = t.names[p.left] + " " + t.names[p.right] // no name has a space
	}
	var err error
	if f.Model.Merges, err = plain(merges); err != nil {
		return nil, err
	}
	if f.Model.Vocab, err = t.vocab(); err != nil {
		return nil, err
	}
	compact, err := plain(f)
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

// vocab writes the vocabulary in the order of the ids.
func (t *Tokenizer) vocab() (json.RawMessage, error) {
	var b bytes.Buffer
	sep := byte('{')
	for id, name := range t.names {
		if name == "" {
			continue
		}
		q, err := plain(name)
		if err != nil {
			return nil, err
		}
		b.WriteByte(sep)
		b.Write(bytes.TrimSpace(q))
		fmt.Fprintf(&b, ":%d", id)
		sep = ','
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (t *Tokenizer) templatePart() *part {
	p := &part{Type: "TemplateProcessing", SpecialTokens: map[string]specialIDs{}}
	for _, i := range t.options.template {
		if i.text {
			p.Single = append(p.Single, piece{Sequence: &pieceID{ID: "A"}})
			continue
		}
		name := t.names[i.id]
		p.Single = append(p.Single, piece{SpecialToken: &pieceID{ID: name}})
		p.SpecialTokens[name] = specialIDs{ID: name, IDs: []int32{i.id}, Tokens: []string{name}}
	}
	p.Pair = append(slices.Clone(p.Single), piece{Sequence: &pieceID{ID: "B", TypeID: 1}})
	return p
}

// Parse reads a tokenizer.json whose model is BPE over bytes. What it cannot do
// as Hugging Face's libraries do it, it refuses.
func Parse(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t := &Tokenizer{ids: map[string]int32{}, ranks: map[pair]merge{}}
	for _, step := range []struct {
		name string
		read func(*file) error
	}{
		{"model", t.readModel},
		{"vocabulary", t.readVocab},
		{"added tokens", t.readAdded},
		{"merges", t.readMerges},
		{"normalizer", t.readNormalizer},
		{"pre-tokenizer", t.readPreTokenizer},
		{"post-processor", t.readPostProcessor},
		{"decoder", t.readDecoder},
	} {
		if err := step.read(&f); err != nil {
			return nil, fmt.Errorf("tokenizer.json: %s: %w", step.name, err)
		}
	}
	t.finish()
	return t, nil
}

func (t *Tokenizer) readModel(f *file) error {
	m := f.Model
	switch {
	case m.Type != "BPE" && m.Type != "":
		return fmt.Errorf("type %s is not read, only BPE", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return errors.New("dropout is not read: it makes encoding random")
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "":
		return errors.New("continuing_subword_prefix is not read: only byte-level BPE is")
	case m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return errors.New("end_of_word_suffix is not read: only byte-level BPE is")
	}
	t.options.ignoreMerges = m.IgnoreMerges
	return nil
}

// maxID bounds the vocabulary, so that a wrong id cannot ask for all memory.
const maxID = 1 << 22

// put gives a token an id.
func (t *Tokenizer) put(name string, id int32) error {
	if id < 0 || id > maxID {
		return fmt.Errorf("token %q has id %d: ids are 0 to %d", name, id, maxID)
	}
	if name == "" {
		return fmt.Errorf("the token with id %d has no text", id)
	}
	for int(id) >= len(t.names) {
		t.names, t.tokens = append(t.names, ""), append(t.tokens, "")
	}
	if there := t.names[id]; there != "" && there != name {
		return fmt.Errorf("tokens %q and %q have the same id %d", there, name, id)
	}
	if other, ok := t.ids[name]; ok && other != id {
		return fmt.Errorf("token %q has ids %d and %d", name, other, id)
	}
	t.ids[name], t.names[id] = id, name
	if t.tokens[id] == "" {
		t.tokens[id] = name
		if b, ok := bytesOfName(name); ok {
			t.tokens[id] = b
		}
	}
	return nil
}

func (t *Tokenizer) readVocab(f *file) error {
	var vocab map[string]int32
	if err := json.Unmarshal(f.Model.Vocab, &vocab); err != nil {
		return err
	}
	var faults []error
	for name, id := range vocab {
		if err := t.put(name, id); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return faults[0]
	}
	for b, r := range runeOfByte {
		if _, ok := t.ids[string(r)]; !ok {
			return fmt.Errorf("byte 0x%02x has no token %q: only vocabularies with all 256 bytes are read", b, string(r))
		}
	}
	return nil
}

func (t *Tokenizer) readAdded(f *file) error {
	for _, a := range f.AddedTokens {
		if a.SingleWord || a.LStrip || a.RStrip {
			return fmt.Errorf("%q: single_word, lstrip and rstrip are not read", a.Content)
		}
		if a.Normalized && f.Normalizer != nil && lower(a.Content) != a.Content {
			return fmt.Errorf("%q: normalized added tokens are not read beside a normalizer", a.Content)
		}
		if _, isByte := byteOfRune[[]rune(a.Content + " ")[0]]; isByte && utf8.RuneCountInString(a.Content) == 1 {
			return fmt.Errorf("%q is a byte's own token and cannot be added", a.Content)
		}
		if err := t.put(a.Content, a.ID); err != nil {
			return err
		}
		t.tokens[a.ID] = a.Content // what it says, not bytes
		t.added = append(t.added, Added{ID: a.ID, Text: a.Content, Special: a.Special})
	}
	return nil
}

func (t *Tokenizer) readMerges(f *file) error {
	if len(f.Model.Merges) == 0 {
		return nil
	}
	var pairs [][2]string
	var lines []string
	if err := json.Unmarshal(f.Model.Merges, &lines); err == nil {
		for _, l := range lines {
			left, right, ok := strings.Cut(l, " ")
			if !ok {
				return fmt.Errorf("%q is no pair", l)
			}
			pairs = append(pairs, [2]string{left, right})
		}
	} else if err := json.Unmarshal(f.Model.Merges, &pairs); err != nil {
		return err
	}
	for rank, p := range pairs {
		var ids [3]int32
		for i, name := range []string{p[0], p[1], p[0] + p[1]} {
			id, ok := t.ids[name]
			if !ok {
				return fmt.Errorf("merge %d of %q and %q: there is no token %q", rank, p[0], p[1], name)
			}
			ids[i] = id
		}
		q := pair{ids[0], ids[1]}
		t.ranks[q] = merge{int32(rank), ids[2]}
		t.merges = append(t.merges, q)
	}
	return nil
}

// flatten returns the parts of a Sequence, or p itself.
func flatten(p *part) []part {
	switch {
	case p == nil:
		return nil
	case p.Type != "Sequence":
		return []part{*p}
	}
	return slices.Concat(p.Normalizers, p.PreTokenizers, p.Processors)
}

func (t *Tokenizer) readNormalizer(f *file) error {
	for _, p := range flatten(f.Normalizer) {
		if p.Type != "Lowercase" {
			return fmt.Errorf("type %s is not read, only Lowercase", p.Type)
		}
		t.options.lowercase = true
	}
	return nil
}

func (t *Tokenizer) readPreTokenizer(f *file) error {
	parts := flatten(f.PreTokenizer)
	if len(parts) != 1 || parts[0].Type != byteLevel {
		return errors.New("only a single ByteLevel is read")
	}
	p := parts[0]
	t.options.prefixSpace = p.AddPrefixSpace == nil || *p.AddPrefixSpace
	t.options.wholeText = p.UseRegex != nil && !*p.UseRegex
	return nil
}

func (t *Tokenizer) readPostProcessor(f *file) error {
	for _, p := range flatten(f.PostProcessor) {
		switch p.Type {
		case byteLevel: // it trims offsets, which are not kept here
		case "TemplateProcessing":
			for _, i := range p.Single {
				if i.SpecialToken == nil {
					t.options.template = append(t.options.template, item{text: true})
					continue
				}
				name := i.SpecialToken.ID
				ids, ok := p.SpecialTokens[name]
				if !ok {
					return fmt.Errorf("the template's token %q has no ids", name)
				}
				for _, id := range ids.IDs {
					if _, ok := t.Token(id); !ok {
						return fmt.Errorf("the template's token %q has id %d, which is not in the vocabulary", name, id)
					}
					t.options.template = append(t.options.template, item{id: id})
				}
			}
		default:
			return fmt.Errorf("type %s is not read, only TemplateProcessing and ByteLevel", p.Type)
		}
	}
	return nil
}

func (t *Tokenizer) readDecoder(f *file) error {
	if f.Decoder != nil && f.Decoder.Type != byteLevel {
		return fmt.Errorf("type %s is not read, only ByteLevel", f.Decoder.Type)
	}
	return nil
}
