// Package token keeps tokenised documents: shards of token ids with the borders
// of the documents, as docs/design/0006-token-shards.md describes them. An
// artifact of them has the type tokens.
//
// A shard is little-endian throughout:
//
//	0   8 bytes   "TMPRTOK1"
//	8   uint32    bytes of a token: 2 or 4
//	12  uint32    0
//	16  uint64    D, the number of documents
//	24  uint64    N, the number of tokens
//	32  D uint64  end of each document, in tokens from the start of the shard
//	..  D uint32  bytes of each document's text, in UTF-8
//	..  N tokens
//
// A document is the ids of its text between the beginning-of-text and the
// end-of-text token.
package token

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"tempera/infra/artifact"
)

const (
	magic      = "TMPRTOK1"
	headerSize = 32
	// maxShard is when a shard is closed, in tokens.
	maxShard = 16 << 20
)

// ErrFormat says that bytes are no token shard.
var ErrFormat = errors.New("not a token shard")

// Meta is the Meta of a tokens artifact's manifest.
type Meta struct {
	Vocab     int             `json:"vocab"` // every token is below it
	BOS       int32           `json:"bos"`
	EOS       int32           `json:"eos"`
	Pad       int32           `json:"pad"`
	Documents int             `json:"documents"`
	Tokens    int64           `json:"tokens"` // the borders of documents included
	Bytes     int64           `json:"bytes"`  // of the texts, in UTF-8
	Tokenizer artifact.Digest `json:"tokenizer"`
}

// Writer stores tokenised documents. It holds one shard in memory. It is not for
// concurrent use.
type Writer struct {
	blobs artifact.Blobs
	name  string
	meta  Meta
	width int // bytes of a token

	ends  []uint64
	bytes []uint32
	data  []byte
	files []artifact.File
}

// NewWriter starts an artifact whose shards are named after name. Of meta, the
// counts are the writer's.
func NewWriter(blobs artifact.Blobs, name string, meta Meta) *Writer {
	w := &Writer{blobs: blobs, name: name, meta: meta, width: 4}
	if meta.Vocab <= 1<<16 {
		w.width = 2
	}
	w.meta.Documents, w.meta.Tokens, w.meta.Bytes = 0, 0, 0
	return w
}

// Meta is what has been written so far.
func (w *Writer) Meta() Meta { return w.meta }

// Add appends a document: its ids, borders included, and the bytes of its text.
func (w *Writer) Add(ctx context.Context, ids []int32, size int) error {
	if len(ids) < 2 || size < 0 || int64(size) > 1<<32-1 {
		return fmt.Errorf("document %d: %d tokens of %d bytes: it needs both borders, and fewer than 4 GiB", w.meta.Documents, len(ids), size)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= w.meta.Vocab {
			return fmt.Errorf("document %d: token %d is outside the vocabulary of %d", w.meta.Documents, id, w.meta.Vocab)
		}
	}
	for _, id := range ids {
		if w.width == 2 {
			w.data = binary.LittleEndian.AppendUint16(w.data, uint16(id))
		} else {
			w.data = binary.LittleEndian.AppendUint32(w.data, uint32(id))
		}
	}
	w.ends = append(w.ends, uint64(len(w.data)/w.width))
	w.bytes = append(w.bytes, uint32(size))
	w.meta.Documents++
	w.meta.Tokens += int64(len(ids))
	w.meta.Bytes += int64(size)
	if len(w.data)/w.width < maxShard {
		return nil
	}
	return w.flush(ctx)
}

func (w *Writer) flush(ctx context.Context) error {
	if len(w.ends) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.Grow(headerSize + 12*len(w.ends) + len(w.data))
	b.WriteString(magic)
	header := []any{uint32(w.width), uint32(0), uint64(len(w.ends)), uint64(len(w.data) / w.width), w.ends, w.bytes, w.data}
	for _, part := range header {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return fmt.Errorf("encode token shard: %w", err)
		}
	}
	path := fmt.Sprintf("%s-%06d.tok", w.name, len(w.files))
	ref, err := w.blobs.Put(ctx, bytes.NewReader(b.Bytes()))
	if err != nil {
		return fmt.Errorf("store shard %s: %w", path, err)
	}
	w.files = append(w.files, artifact.File{Path: path, Ref: ref, Records: len(w.ends)})
	w.ends, w.bytes, w.data = w.ends[:0], w.bytes[:0], w.data[:0]
	return nil
}

// Close stores what is left and the manifest.
func (w *Writer) Close(ctx context.Context) (artifact.Artifact, error) {
	if err := w.flush(ctx); err != nil {
		return artifact.Artifact{}, err
	}
	meta, err := json.Marshal(w.meta)
	if err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.PutManifest(ctx, w.blobs, &artifact.Manifest{Type: artifact.TypeTokens, Files: w.files, Meta: meta})
}
