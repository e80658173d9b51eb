package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
)

// CharacterOptions say which tokens there are beside the characters, or words.
type CharacterOptions struct {
	Names    SpecialNames // of the special tokens, which get the ids from 0 on
	Extra    []string     // more special tokens, after these
	Tags     []string     // tokens that are part of what a person reads, such as <think>
	Template []string     // e.g. [BOS] $A [EOS]; $A stands for the text
	Most     int          // characters or words; more are an error. 0: 65536
}

// unknownCharacter is the token of what the texts do not have.
const unknownCharacter = "[UNK]"

// Characters makes a tokenizer whose tokens are the characters of some texts and
// nothing else, for tasks of few words whose models are small: the vocabulary of sums
// is twenty tokens. Ids are given out in this order: the special tokens, [UNK], the
// tags, then the characters by their code points. Texts come back as they were.
//
// It is byte-pair encoding that merges nothing, so that any program that reads
// tokenizer.json reads it.
func Characters(texts iter.Seq[string], o CharacterOptions) (*Tokenizer, error) {
	return seenIn(texts, o, characterPieces())
}

// Words makes a tokenizer whose tokens are the words of some texts, each with the blank before it, and nothing else: for
// languages of a few words. Ids are given out as Characters does, words in the order of their bytes.
func Words(texts iter.Seq[string], o CharacterOptions) (*Tokenizer, error) {
	return seenIn(texts, o, wordPieces())
}

// pieces are what the tokens of a tokenizer are that knows what it has seen.
type pieces struct {
	name  string
	cut   func(part string, each func(piece string))
	model func(vocab json.RawMessage) any
	split any // the pre-tokenizer; nil: none
}

func characterPieces() pieces {
	return pieces{
		name: "characters",
		cut: func(part string, each func(string)) {
			for _, r := range part {
				each(string(r))
			}
		},
		model: func(vocab json.RawMessage) any {
			unknown := unknownCharacter
			return trainedModel{Type: "BPE", UnkToken: &unknown, Vocab: vocab, Merges: []string{}}
		},
	}
}

// wordPattern is a word with the blank before it, or blanks.
const wordPattern = ` ?[^ ]+| +`

func wordPieces() pieces {
	pattern := regexp.MustCompile(wordPattern)
	return pieces{
		name: "words",
		cut: func(part string, each func(string)) {
			for _, word := range pattern.FindAllString(part, -1) {
				each(word)
			}
		},
		model: func(vocab json.RawMessage) any {
			return map[string]any{"type": "WordLevel", "unk_token": unknownCharacter, "vocab": vocab}
		},
		split: map[string]any{"type": "Split", "pattern": map[string]string{"Regex": wordPattern}, "behavior": "Isolated", "invert": false},
	}
}

func seenIn(texts iter.Seq[string], o CharacterOptions, kind pieces) (*Tokenizer, error) {
	special := append(append(o.Names.withDefaults().list(), o.Extra...), unknownCharacter)
	named := append(slices.Clone(special), o.Tags...)
	if err := checkNames(named); err != nil {
		return nil, err
	}
	added := make([]Added, len(named))
	for i, name := range named {
		added[i] = Added{ID: int32(i), Text: name}
	}
	set := newAddedSet(added, func(a Added) string { return a.Text })
	seen := map[string]bool{}
	for text := range texts {
		set.cut(text, func(part string, _ int) {
			kind.cut(part, func(piece string) { seen[piece] = true })
		}, func(int32) {})
	}
	most := o.Most
	if most == 0 {
		most = 1 << 16
	}
	switch {
	case len(seen) == 0:
		return nil, ErrNoText
	case len(seen) > most:
		return nil, fmt.Errorf("the texts have %d different %s, more than the %d that fit: train byte pairs instead", len(seen), kind.name, most)
	}
	for _, piece := range slices.Sorted(maps.Keys(seen)) {
		if slices.Contains(named, piece) {
			return nil, fmt.Errorf("the texts have the word %q, which is the name of a special token", piece)
		}
		named = append(named, piece)
	}
	f, err := seenFile(named, len(special), o, kind)
	if err != nil {
		return nil, err
	}
	return f.tokenizer()
}

// checkNames finds tokens that are nothing, there twice, or a character's own.
func checkNames(names []string) error {
	var faults []error
	for i, name := range names {
		switch {
		case len([]rune(name)) < 2:
			faults = append(faults, fmt.Errorf("the token %q is a character's own: use a longer one", name))
		case slices.Contains(names[:i], name):
			faults = append(faults, fmt.Errorf("the token %q is there twice", name))
		}
	}
	return errors.Join(faults...)
}

func seenFile(names []string, special int, o CharacterOptions, kind pieces) (file, error) {
	f := file{Version: "1.0"}
	for id, name := range names[:special+len(o.Tags)] {
		f.AddedTokens = append(f.AddedTokens, addedJSON{ID: int32(id), Content: name, Special: id < special})
	}
	vocab, err := orderedVocab(names)
	if err != nil {
		return f, err
	}
	if f.Model, err = plain(kind.model(vocab)); err != nil {
		return f, err
	}
	if kind.split != nil {
		if f.PreTokenizer, err = plain(kind.split); err != nil {
			return f, err
		}
	}
	if f.Decoder, err = plain(map[string]string{"type": "Fuse"}); err != nil {
		return f, err
	}
	if len(o.Template) > 0 {
		for _, name := range o.Template {
			if name != textItem && !slices.Contains(names[:special], name) {
				return f, fmt.Errorf("the template names %q, which is no special token", name)
			}
		}
		f.PostProcessor, err = plain(TrainOptions{Template: o.Template}.templateJSON(names[:special]))
	}
	return f, err
}
