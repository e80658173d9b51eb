package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"tempera/training/tokenizer/bytelevel"
	"tempera/training/tokenizer/match"
	"tempera/training/tokenizer/normalize"
)

// TrainOptions say what vocabulary is wanted. The zero value trains 8192 tokens.
type TrainOptions struct {
	VocabSize    int          // tokens in all, the bytes and the special ones included; 0 means 8192
	MinFrequency int          // how often a pair must occur to be merged; 0 means 2
	Lowercase    bool         // text is lower-cased; decoding then gives the lower-cased text
	PrefixSpace  bool         // a space is put before text that does not begin with one
	Names        SpecialNames // of the special tokens, which get the ids from 0 on
	Extra        []string     // more special tokens, after these
	Tags         []string     // tokens that are part of what a person reads, such as <think>, after these
	Template     []string     // e.g. [BOS] $A [EOS]: what Wrap makes; $A stands for the text
}

// What holds where TrainOptions leaves it open.
const (
	DefaultVocabSize    = 8192
	DefaultMinFrequency = 2
)

// ErrNoText is what training on texts without a single byte fails with.
var ErrNoText = errors.New("the corpus has no text to train a tokenizer on")

// Train learns a vocabulary from texts. Ids are given out in this order: the
// special tokens, the 256 bytes in the order of their characters in
// tokenizer.json, then the merged pairs. The pair that occurs most often is
// merged next; of equally frequent ones that with the smaller left id, then that
// with the smaller right id. The result depends on how often the words occur
// only, not on the order of the texts.
func Train(texts iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	o.VocabSize = cmp.Or(o.VocabSize, DefaultVocabSize)
	o.MinFrequency = cmp.Or(o.MinFrequency, DefaultMinFrequency)
	special := append(append(o.Names.withDefaults().list(), o.Extra...), o.Tags...)
	if err := o.validate(special); err != nil {
		return nil, err
	}
	counts, err := countWords(texts, o, special)
	if err != nil {
		return nil, err
	}
	if len(counts) == 0 {
		return nil, ErrNoText
	}
	tr := newTrainer(counts, special, o.MinFrequency)
	tr.run(o.VocabSize)
	f, err := o.file(tr, special)
	if err != nil {
		return nil, err
	}
	return f.tokenizer()
}

func (o TrainOptions) validate(special []string) error {
	var faults []error
	for i, name := range special {
		switch {
		case name == "":
			faults = append(faults, errors.New("a special token has no text"))
		case slices.Contains(special[:i], name):
			faults = append(faults, fmt.Errorf("special token %q is there twice", name))
		case isByte(name):
			faults = append(faults, fmt.Errorf("special token %q is a byte's own token: use a longer one", name))
		}
	}
	if least := len(special) + 256; o.VocabSize < least {
		faults = append(faults, fmt.Errorf("a vocabulary of %d has no room for %d special tokens and 256 bytes: use at least %d",
			o.VocabSize, len(special), least))
	}
	if o.MinFrequency < 1 {
		faults = append(faults, fmt.Errorf("a minimum frequency of %d: use at least 1", o.MinFrequency))
	}
	for _, name := range o.Template {
		if name != textItem && !slices.Contains(special, name) {
			faults = append(faults, fmt.Errorf("the template names %q, which is no special token", name))
		}
	}
	return errors.Join(faults...)
}

func isByte(name string) bool {
	b, ok := bytelevel.Bytes(name)
	return ok && len(b) == 1
}

// textItem stands for the text in a template.
const textItem = "$A"

// countWords counts the words of texts. What looks like a special token is left
// out, as it will never be merged.
func countWords(texts iter.Seq[string], o TrainOptions, special []string) (map[string]int, error) {
	words, err := match.Regex(match.GPT2)
	if err != nil {
		return nil, err
	}
	added := make([]Added, len(special))
	for i, name := range special {
		added[i] = Added{ID: int32(i), Text: name}
	}
	set := newAddedSet(added, func(a Added) string { return a.Text })
	counts := map[string]int{}
	for text := range texts {
		set.cut(text, func(part string, _ int) {
			if o.Lowercase {
				part = normalize.Lower(part)
			}
			if o.PrefixSpace && part[0] != ' ' {
				part = " " + part
			}
			for start, end := range words(part) {
				word := part[start:end]
				if _, ok := counts[word]; !ok {
					word = strings.Clone(word) // not to keep the text
				}
				counts[word]++
			}
		}, func(int32) {})
	}
	return counts, nil
}

// byteLevelPart is the ByteLevel of a pre-tokenizer or a decoder.
type byteLevelPart struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	TrimOffsets    bool   `json:"trim_offsets"`
	UseRegex       bool   `json:"use_regex"`
}

// file writes what was learnt.
func (o TrainOptions) file(tr *trainer, special []string) (file, error) {
	f := file{Version: "1.0"}
	for id, name := range special {
		tag := id >= len(special)-len(o.Tags)
		f.AddedTokens = append(f.AddedTokens, addedJSON{ID: int32(id), Content: name, Special: !tag})
	}
	merges := make([]string, len(tr.merges))
	for i, p := range tr.merges {
		merges[i] = tr.names[p.left] + " " + tr.names[p.right] // no name has a space
	}
	vocab, err := orderedVocab(tr.names)
	if err != nil {
		return f, err
	}
	parts := []struct {
		to *json.RawMessage
		v  any
	}{
		{&f.PreTokenizer, byteLevelPart{"ByteLevel", o.PrefixSpace, true, true}},
		{&f.Decoder, byteLevelPart{"ByteLevel", true, true, true}},
		{&f.Model, trainedModel{Type: "BPE", Vocab: vocab, Merges: merges}},
	}
	if o.Lowercase {
		parts = append(parts, struct {
			to *json.RawMessage
			v  any
		}{&f.Normalizer, map[string]string{"type": "Lowercase"}})
	}
	if len(o.Template) > 0 {
		parts = append(parts, struct {
			to *json.RawMessage
			v  any
		}{&f.PostProcessor, o.templateJSON(special)})
	}
	for _, p := range parts {
		if *p.to, err = plain(p.v); err != nil {
			return f, err
		}
	}
	return f, nil
}

// trainedModel is bpeJSON with the vocabulary in order.
type trainedModel struct {
	Type                    string          `json:"type"`
	Dropout                 *float64        `json:"dropout"`
	UnkToken                *string         `json:"unk_token"`
	ContinuingSubwordPrefix *string         `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string         `json:"end_of_word_suffix"`
	FuseUnk                 bool            `json:"fuse_unk"`
	ByteFallback            bool            `json:"byte_fallback"`
	IgnoreMerges            bool            `json:"ignore_merges"`
	Vocab                   json.RawMessage `json:"vocab"`
	Merges                  []string        `json:"merges"`
}

// orderedVocab writes a vocabulary in the order of the ids.
func orderedVocab(names []string) (json.RawMessage, error) {
	var b bytes.Buffer
	sep := byte('{')
	for id, name := range names {
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

func (o TrainOptions) templateJSON(special []string) processor {
	p := processor{Type: "TemplateProcessing", SpecialTokens: map[string]specialIDs{}}
	for _, name := range o.Template {
		if name == textItem {
			p.Single = append(p.Single, piece{Sequence: &pieceID{ID: "A"}})
			continue
		}
		p.Single = append(p.Single, piece{SpecialToken: &pieceID{ID: name}})
		id := int32(slices.Index(special, name))
		p.SpecialTokens[name] = specialIDs{ID: name, IDs: []int32{id}, Tokens: []string{name}}
	}
	p.Pair = append(slices.Clone(p.Single), piece{Sequence: &pieceID{ID: "B", TypeID: 1}})
	return p
}
