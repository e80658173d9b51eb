// Package document keeps texts for language models: JSON Lines shards of
// documents, {"id": ..., "text": ..., "source": ...} a line each, that any
// program can read. An artifact of them has the type text.
//
// Sources below datagen/source/corpus yield documents; Dedup and Split sort them;
// Writer stores them; All reads them back.
package document

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// Document is one text that is learned as a whole: what comes before it in a
// data set says nothing about it.
type Document struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Source string `json:"source,omitempty"`
}

// Stream yields documents in a fixed order. An error that is a *sample.Fault
// concerns one document only; any other error ends the stream.
type Stream = iter.Seq2[Document, error]

// digest identifies a text by its bytes.
func digest(text string) [16]byte {
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:16])
}

// Dedup leaves documents out whose text is, byte for byte, that of an earlier
// one, and counts them in dropped.
func Dedup(in Stream, dropped *int) Stream {
	return func(yield func(Document, error) bool) {
		seen := map[[16]byte]struct{}{}
		for d, err := range in {
			if err == nil {
				key := digest(d.Text)
				if _, again := seen[key]; again {
					*dropped++
					continue
				}
				seen[key] = struct{}{}
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// HeldOut tells whether a document belongs to the share, from 0 to 1, that is
// kept for validation. It is a function of the text alone: a document is on the
// same side in every data set that has it.
func HeldOut(text string, share float64) bool {
	key := digest(text)
	const one = 1 << 32
	return float64(binary.BigEndian.Uint32(key[8:12])) < share*one
}
