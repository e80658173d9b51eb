package overlap

import (
	"hash/fnv"

	"tempera/datagen/sample"
)

// The signature of a text is the least of so many hashes over its shingles (MinHash,
// Broder 1997): two texts agree in a share of them that is the share of shingles they
// have in common. Texts that agree in a band are compared.
const (
	hashes  = 128
	bands   = 32
	perBand = hashes / bands
	shingle = 5 // words
)

// Near finds texts that are nearly the same as an earlier one. The zero value is not
// usable. What it finds depends on the texts and their order only.
type Near struct {
	least float64
	seen  []signature
	names []string
	byKey [bands]map[uint64][]int32
	salts [hashes]uint64
}

type signature [hashes]uint64

// NewNear finds texts that have at least a share of their runs of five words in
// common with an earlier one.
func NewNear(share float64) *Near {
	n := &Near{least: share}
	for i := range n.byKey {
		n.byKey[i] = map[uint64][]int32{}
	}
	for i := range n.salts {
		n.salts[i] = sample.Mix(uint64(i) + 0x6e656172)
	}
	return n
}

// Add takes a text and returns the name of an earlier one that is nearly the same;
// then it is not kept.
func (n *Near) Add(name, text string) (of string, dup bool) {
	sig := n.sign(text)
	tried := map[int32]bool{}
	for b := range bands {
		for _, i := range n.byKey[b][sig.band(b)] {
			if tried[i] {
				continue
			}
			tried[i] = true
			if sig.shared(&n.seen[i]) >= n.least {
				return n.names[i], true
			}
		}
	}
	for b := range bands {
		key := sig.band(b)
		n.byKey[b][key] = append(n.byKey[b][key], int32(len(n.seen)))
	}
	n.seen, n.names = append(n.seen, sig), append(n.names, name)
	return "", false
}

// sign makes the signature of a text. One with fewer words than a shingle is one
// shingle.
func (n *Near) sign(text string) signature {
	var sig signature
	for i := range sig {
		sig[i] = ^uint64(0)
	}
	words := Words(text)
	if len(words) == 0 {
		words = []string{text}
	}
	for i := range max(1, len(words)-shingle+1) {
		h := fnv.New64a()
		for _, w := range words[i:min(i+shingle, len(words))] {
			_, _ = h.Write([]byte(w + " ")) // it cannot fail
		}
		sum := h.Sum64()
		for k, salt := range n.salts {
			sig[k] = min(sig[k], sample.Mix(sum^salt))
		}
	}
	return sig
}

func (s *signature) band(b int) uint64 {
	key := uint64(b)
	for _, v := range s[b*perBand : (b+1)*perBand] {
		key = sample.Mix(key ^ v)
	}
	return key
}

func (s *signature) shared(o *signature) float64 {
	n := 0
	for i := range s {
		if s[i] == o[i] {
			n++
		}
	}
	return float64(n) / hashes
}
