package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// unigram finds the most probable way to cut a word into tokens (Kudo 2018), by
// Viterbi's algorithm from left to right. Of equally probable ways that whose
// last token begins first is taken, as the reference does.
type unigram struct {
	trie         *trie
	ids          vocabulary
	scores       []float64 // log-probabilities, by id
	unknown      int32
	unknownScore float64
	bytes        *[256]int32 // tokens of the bytes of what is unknown; nil without
}

// scored is a token with its log-probability.
type scored struct {
	name  string
	score float64
}

func (s *scored) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&s.name, &s.score})
}

// unknownPenalty is how much less probable than every token an unknown one is.
const unknownPenalty = 10

func readUnigram(raw json.RawMessage) (model, vocabulary, error) {
	var m struct {
		Vocab    []scored `json:"vocab"`
		Unknown  *int     `json:"unk_id"`
		Fallback bool     `json:"byte_fallback"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	switch {
	case m.Unknown == nil:
		return nil, nil, errors.New("it has no unk_id, which stands for what the vocabulary does not have")
	case *m.Unknown < 0 || *m.Unknown >= len(m.Vocab):
		return nil, nil, fmt.Errorf("unk_id is %d, but the vocabulary has %d tokens", *m.Unknown, len(m.Vocab))
	}
	u := &unigram{ids: vocabulary{}, unknown: int32(*m.Unknown), unknownScore: math.Inf(1)}
	entries := make([]entry, len(m.Vocab))
	u.scores = make([]float64, len(m.Vocab))
	for i, s := range m.Vocab {
		entries[i] = entry{s.name, int32(i)}
		u.ids[s.name] = int32(i)
		u.scores[i] = s.score
		u.unknownScore = min(u.unknownScore, s.score)
	}
	u.unknownScore -= unknownPenalty
	u.trie = newTrie(entries)
	if m.Fallback {
		u.bytes = byteTokens(u.ids)
	}
	return u, u.ids, nil
}

// byteTokens returns the tokens <0x00> to <0xFF>, none where one is not there.
func byteTokens(ids vocabulary) *[256]int32 {
	var bytes [256]int32
	for b := range bytes {
		id, ok := ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = none
		}
		bytes[b] = id
	}
	return &bytes
}

// appendBytes appends the tokens of a text's bytes; ok is false, and nothing
// appended, where one has none. A nil table has none at all.
func appendBytes(ids []int32, table *[256]int32, text string) (out []int32, ok bool) {
	if table == nil {
		return ids, false
	}
	before := len(ids)
	for i := range len(text) {
		id := table[text[i]]
		if id == none {
			return ids[:before], false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// step is the best way to a place in a word: its last token, where that begins,
// and the score of all. A place that none leads to has begins -1.
type step struct {
	id     int32
	begins int32
	score  float64
}

func (u *unigram) encode(ids []int32, word string) []int32 {
	best := make([]step, len(word)+1)
	for i := range best[1:] {
		best[i+1].begins = -1
	}
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		if !u.extend(best, word, at, size) {
			s := step{u.unknown, int32(at), u.unknownScore + best[at].score}
			if to := &best[at+size]; to.begins < 0 || s.score > to.score {
				*to = s
			}
		}
		at += size
	}
	before := len(ids)
	for end := len(word); end > 0; {
		s := best[end]
		begins := int(s.begins)
		if s.id != u.unknown {
			ids = append(ids, s.id)
		} else {
			for begins > 0 && best[begins].id == u.unknown {
				begins = int(best[begins].begins)
			}
			ids = u.appendUnknown(ids, word[begins:end])
		}
		end = begins
	}
	slices.Reverse(ids[before:])
	return ids
}

// extend tries every token at a place. It says whether one of them is the rune
// of that size.
func (u *unigram) extend(best []step, word string, at, size int) bool {
	single := false
	n := int32(0)
	for i := at; i < len(word); i++ {
		if n = u.trie.child(n, word[i]); n == 0 {
			break
		}
		id := u.trie.nodes[n].value
		if id < 0 {
			continue
		}
		score := u.scores[id] + best[at].score
		if to := &best[i+1]; to.begins < 0 || score > to.score {
			*to = step{id, int32(at), score}
		}
		single = single || i+1-at == size
	}
	return single
}

// appendUnknown appends, from back to front, what stands for a text in which no
// token was found.
func (u *unigram) appendUnknown(ids []int32, text string) []int32 {
	if id, ok := u.ids[text]; ok {
		return append(ids, id)
	}
	before := len(ids)
	ids, ok := appendBytes(ids, u.bytes, text)
	if !ok {
		return append(ids, u.unknown)
	}
	slices.Reverse(ids[before:])
	return ids
}
