package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// wordPiece takes the longest token at the front of what is left of a word, and
// of a word that has none the unknown token alone (Schuster and Nakajima 2012).
type wordPiece struct {
	begin, inside *trie // tokens that begin words, and those that continue them, without their prefix
	unknown       int32
	most          int // runes of a word that is tried at all
}

func readWordPiece(raw json.RawMessage) (model, vocabulary, error) {
	m := struct {
		Vocab   vocabulary `json:"vocab"`
		Unknown *string    `json:"unk_token"`
		Prefix  *string    `json:"continuing_subword_prefix"`
		Most    *int       `json:"max_input_chars_per_word"`
	}{}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	w := &wordPiece{most: 100}
	prefix, unknown := "##", "[UNK]"
	if m.Prefix != nil {
		prefix = *m.Prefix
	}
	if m.Unknown != nil {
		unknown = *m.Unknown
	}
	if m.Most != nil {
		w.most = *m.Most
	}
	id, ok := m.Vocab[unknown]
	if !ok {
		return nil, nil, fmt.Errorf("the unknown token %q is not in the vocabulary", unknown)
	}
	w.unknown = id
	var begin, inside []entry
	for name, id := range m.Vocab {
		begin = append(begin, entry{name, id})
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			inside = append(inside, entry{name[len(prefix):], id})
		}
	}
	w.begin, w.inside = newTrie(begin), newTrie(inside)
	return w, m.Vocab, nil
}

func (w *wordPiece) encode(ids []int32, word string) []int32 {
	if utf8.RuneCountInString(word) > w.most {
		return append(ids, w.unknown)
	}
	before := len(ids)
	for t, at := w.begin, 0; at < len(word); t = w.inside {
		id, n := t.longest(word[at:])
		if n == 0 {
			return append(ids[:before], w.unknown)
		}
		ids = append(ids, id)
		at += n
	}
	return ids
}

// wordLevel knows whole words only.
type wordLevel struct {
	vocab   vocabulary
	unknown int32
}

func readWordLevel(raw json.RawMessage) (model, vocabulary, error) {
	m := struct {
		Vocab   vocabulary `json:"vocab"`
		Unknown string     `json:"unk_token"`
	}{Unknown: "<unk>"}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	id, ok := m.Vocab[m.Unknown]
	if !ok {
		return nil, nil, fmt.Errorf("the unknown token %q is not in the vocabulary", m.Unknown)
	}
	return &wordLevel{m.Vocab, id}, m.Vocab, nil
}

func (w *wordLevel) encode(ids []int32, word string) []int32 {
	if id, ok := w.vocab[word]; ok {
		return append(ids, id)
	}
	return append(ids, w.unknown)
}
