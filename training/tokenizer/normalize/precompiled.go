package normalize

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// charsmap is SentencePiece's compiled replacement table: a double-array trie
// of what is replaced (darts-clone), whose values are places in the texts that
// replace, each ended by a zero byte.
type charsmap struct {
	trie  []uint32
	texts string
}

func precompiled(encoded string) (Step, error) {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("precompiled_charsmap: %w", err)
	}
	if len(data) < 4 {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	size := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if int64(size) > int64(len(data)) || size%4 != 0 || size == 0 {
		return nil, fmt.Errorf("precompiled_charsmap says that its trie has %d bytes of %d", size, len(data))
	}
	m := &charsmap{trie: make([]uint32, size/4), texts: string(data[size:])}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	return keepingFront(m.apply), nil
}

// longest is the bytes of the longest grapheme that is looked up as a whole.
const longest = 5

// apply replaces graphemes, and where a whole one is not known or too long its
// runes. This is the reference's way, and SentencePiece's only nearly; nor does
// the reference notice that it removes the front of a text.
func (m *charsmap) apply(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for g := graphemes.FromString(text); g.Next(); {
		cluster := g.Value()
		if len(cluster) <= longest {
			if to, ok := m.replacement(cluster); ok {
				b.WriteString(to)
				continue
			}
		}
		for len(cluster) > 0 {
			_, n := utf8.DecodeRuneInString(cluster)
			if to, ok := m.replacement(cluster[:n]); ok {
				b.WriteString(to)
			} else {
				b.WriteString(cluster[:n])
			}
			cluster = cluster[n:]
		}
	}
	return b.String()
}

// replacement looks up the shortest prefix of a key that the trie has.
func (m *charsmap) replacement(key string) (string, bool) {
	at := offset(m.trie[0])
	for i := range len(key) {
		c := uint32(key[i])
		at ^= c
		if c == 0 || int64(at) >= int64(len(m.trie)) {
			return "", false
		}
		unit := m.trie[at]
		if unit&(1<<31|0xff) != c { // its label, with a bit that is set in values
			return "", false
		}
		at ^= offset(unit)
		if int64(at) >= int64(len(m.trie)) {
			return "", false
		}
		if leaf := unit>>8&1 == 1; leaf {
			start := int64(m.trie[at] & (1<<31 - 1))
			if start > int64(len(m.texts)) {
				return "", false
			}
			to, _, _ := strings.Cut(m.texts[start:], "\x00")
			return to, true
		}
	}
	return "", false
}

// offset is the distance to a unit's children.
func offset(unit uint32) uint32 { return unit >> 10 << (unit >> 9 & 1 << 3) }
