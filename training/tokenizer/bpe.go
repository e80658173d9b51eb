package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tempera/training/tokenizer/bytelevel"
)

// bpe is byte-pair encoding (Sennrich et al. 2016): a word's runes, or its bytes
// where they are named as package bytelevel does, are merged pair by pair in the
// order in which training found the pairs.
type bpe struct {
	ids          vocabulary
	merges       map[uint64]merge
	byteLevel    bool // words are bytes, and not the bytes' names
	starts       [4][256]int32
	bytes        *[256]int32 // tokens such as <0xE2>, for runes that have none; nil without
	unknown      int32       // none: what has no token is left out
	noUnknown    error       // there is none, but the file names one: a fault unless bytes are all there is
	fuse         bool        // unknown runes in a row are one token
	prefix       string      // of tokens that do not begin a word
	suffix       string      // of tokens that end one
	ignoreMerges bool        // a word that is a token is that token, whatever the merges
}

// merge says when a pair is merged, and into what.
type merge struct{ rank, id int32 }

func pairOf(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

type bpeJSON struct {
	Type                    string     `json:"type"`
	Dropout                 *float64   `json:"dropout"`
	UnkToken                *string    `json:"unk_token"`
	ContinuingSubwordPrefix *string    `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string    `json:"end_of_word_suffix"`
	FuseUnk                 bool       `json:"fuse_unk"`
	ByteFallback            bool       `json:"byte_fallback"`
	IgnoreMerges            bool       `json:"ignore_merges"`
	Vocab                   vocabulary `json:"vocab"`
	Merges                  mergeList  `json:"merges"`
}

// mergeList is pairs of tokens, each as ["a","b"] or, before version 0.20 of the
// reference, as "a b".
type mergeList [][2]string

func (m *mergeList) UnmarshalJSON(data []byte) error {
	var lines []string
	if err := json.Unmarshal(data, &lines); err != nil {
		return json.Unmarshal(data, (*[][2]string)(m))
	}
	*m = make(mergeList, 0, len(lines))
	for _, l := range lines {
		if strings.HasPrefix(l, "#version") {
			continue
		}
		left, right, ok := strings.Cut(l, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %q is no pair", l)
		}
		*m = append(*m, [2]string{left, right})
	}
	return nil
}

func readBPE(raw json.RawMessage) (model, vocabulary, error) {
	var m bpeJSON
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	if m.Dropout != nil && *m.Dropout != 0 {
		return nil, nil, errors.New("dropout is not read: it makes encoding random")
	}
	b := &bpe{
		ids: m.Vocab, merges: make(map[uint64]merge, len(m.Merges)), unknown: none, fuse: m.FuseUnk,
		prefix: deref(m.ContinuingSubwordPrefix), suffix: deref(m.EndOfWordSuffix), ignoreMerges: m.IgnoreMerges,
	}
	if id, ok := m.Vocab[deref(m.UnkToken)]; ok && m.UnkToken != nil {
		b.unknown = id
	} else if m.UnkToken != nil {
		b.noUnknown = fmt.Errorf("the unknown token %q is not in the vocabulary", *m.UnkToken)
	}
	if m.ByteFallback {
		b.bytes = byteTokens(m.Vocab)
	}
	for rank, p := range m.Merges {
		var ids [3]int32
		for i, name := range []string{p[0], p[1], p[0] + strings.TrimPrefix(p[1], b.prefix)} {
			id, ok := m.Vocab[name]
			if !ok {
				return nil, nil, fmt.Errorf("merge %d of %q and %q: there is no token %q", rank, p[0], p[1], name)
			}
			ids[i] = id
		}
		b.merges[pairOf(ids[0], ids[1])] = merge{int32(rank), ids[2]}
	}
	return b, m.Vocab, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// none is the id of no token.
const none = -1

// useBytes makes words bytes from now on.
func (b *bpe) useBytes() {
	b.byteLevel = true
	for place := range b.starts {
		for c := range b.starts[place] {
			b.starts[place][c] = b.start(string(bytelevel.Rune[c]), place)
		}
	}
}

// Where a rune or a byte stands in its word.
const (
	notFirst = 1 << iota
	last
)

// start returns the token of a rune before anything is merged, or none.
func (b *bpe) start(name string, place int) int32 {
	if id, ok := b.ids[b.dress(name, place)]; ok {
		return id
	}
	return none
}

// dress puts the prefix and the suffix to a rune where its place wants them.
func (b *bpe) dress(name string, place int) string {
	if place&notFirst != 0 && b.prefix != "" {
		name = b.prefix + name
	}
	if place&last != 0 && b.suffix != "" {
		name += b.suffix
	}
	return name
}

func (b *bpe) encode(ids []int32, word string) []int32 {
	if b.ignoreMerges {
		name := word
		if b.byteLevel {
			name = bytelevel.Name(word)
		}
		if id, ok := b.ids[name]; ok {
			return append(ids, id)
		}
	}
	before := len(ids)
	ids = b.symbols(ids, word)
	return append(ids[:before], b.mergeAll(ids[before:])...)
}

// symbols appends the tokens of a word's runes or bytes.
func (b *bpe) symbols(ids []int32, word string) []int32 {
	unknown := false // one is due
	for i, n := 0, 1; i < len(word); i += n {
		if !b.byteLevel {
			_, n = utf8.DecodeRuneInString(word[i:])
		}
		place := 0
		if i > 0 {
			place |= notFirst
		}
		if i+n == len(word) {
			place |= last
		}
		id := int32(none)
		if b.byteLevel {
			id = b.starts[place][word[i]]
		} else {
			id = b.start(word[i:i+n], place)
		}
		if id == none {
			if out, ok := appendBytes(ids, b.bytes, b.dress(word[i:i+n], place)); ok {
				ids = out
				continue
			}
			if b.unknown == none {
				continue
			}
		}
		if unknown && (id != none || !b.fuse) {
			ids = append(ids, b.unknown)
		}
		unknown = id == none
		if !unknown {
			ids = append(ids, id)
		}
	}
	if unknown {
		ids = append(ids, b.unknown)
	}
	return ids
}

// symbol is a token of a word that is being merged, in a linked list.
type symbol struct {
	id         int32
	prev, next int32 // -1: none; a symbol that was merged away has id -1
}

// candidate is a pair that may be merged.
type candidate struct {
	rank int32
	at   int32  // of the left symbol
	pair uint64 // as it was when the candidate was found
}

func (a candidate) before(b candidate) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.at < b.at
}

// mergeAll merges the tokens of a word: always the pair that training merged
// first is merged next, of equal pairs the leftmost. It takes O(n log n) for n
// tokens.
func (b *bpe) mergeAll(ids []int32) []int32 {
	if len(ids) < 2 {
		return ids
	}
	symbols := make([]symbol, len(ids))
	for i, id := range ids {
		symbols[i] = symbol{id: id, prev: int32(i) - 1, next: int32(i) + 1}
	}
	symbols[len(symbols)-1].next = -1
	queue := make(candidates, 0, len(ids))
	offer := func(at int32) {
		if at < 0 || symbols[at].next < 0 {
			return
		}
		p := pairOf(symbols[at].id, symbols[symbols[at].next].id)
		if m, ok := b.merges[p]; ok {
			queue.push(candidate{m.rank, at, p})
		}
	}
	for i := range symbols {
		offer(int32(i))
	}
	for len(queue) > 0 {
		c := queue.pop()
		s := &symbols[c.at]
		if s.id < 0 || s.next < 0 || pairOf(s.id, symbols[s.next].id) != c.pair {
			continue // one of the two has been merged with another since
		}
		gone := &symbols[s.next]
		s.id, s.next = b.merges[c.pair].id, gone.next
		gone.id = -1
		if s.next >= 0 {
			symbols[s.next].prev = c.at
		}
		offer(s.prev)
		offer(c.at)
	}
	out := ids[:0]
	for i := int32(0); i >= 0; i = symbols[i].next {
		out = append(out, symbols[i].id)
	}
	return out
}

// candidates is a binary heap; the candidate to merge first is on top. It is
// written out because container/heap would allocate for every candidate.
type candidates []candidate

func (q *candidates) push(c candidate) {
	*q = append(*q, c)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *candidates) pop() candidate {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && h[down].before(h[least]) {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return top
}
