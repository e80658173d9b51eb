package document

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"tempera/infra/artifact"
)

// Meta is the Meta of a text artifact's manifest.
type Meta struct {
	Title     string   `json:"title,omitempty"`
	License   []string `json:"license,omitempty"` // SPDX identifiers
	Credits   []string `json:"credits,omitempty"` // whom the licences ask to name
	Documents int      `json:"documents"`
	Bytes     int64    `json:"bytes"` // of the texts, in UTF-8
}

// ErrEmpty says that a text artifact has no documents.
var ErrEmpty = errors.New("there are no documents")

// shardBytes is when a shard is closed.
const shardBytes = 16 << 20

// maxLine bounds a line of a shard that is read, in bytes.
const maxLine = 1 << 30

// Writer stores documents as JSON Lines shards. It holds one shard in memory.
// It is not for concurrent use.
type Writer struct {
	name  string
	blobs artifact.Blobs
	meta  Meta
	lines bytes.Buffer
	count int // documents in lines
	files []artifact.File
	limit int // bytes of lines at which a shard is closed
}

// NewWriter starts an artifact. Its shards are named after name; meta says what
// the documents cannot.
func NewWriter(blobs artifact.Blobs, name string, meta Meta) *Writer {
	return &Writer{name: name, blobs: blobs, meta: meta, limit: shardBytes}
}

// Documents returns how many documents have been added.
func (w *Writer) Documents() int { return w.meta.Documents }

// Add appends a document.
func (w *Writer) Add(ctx context.Context, d Document) error {
	e := json.NewEncoder(&w.lines)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("document %s: %w", d.ID, err)
	}
	w.count++
	w.meta.Documents++
	w.meta.Bytes += int64(len(d.Text))
	if w.lines.Len() < w.limit {
		return nil
	}
	return w.flush(ctx)
}

func (w *Writer) flush(ctx context.Context) error {
	if w.count == 0 {
		return nil
	}
	path := fmt.Sprintf("%s-%06d.jsonl", w.name, len(w.files))
	ref, err := artifact.PutBytes(ctx, w.blobs, w.lines.Bytes())
	if err != nil {
		return fmt.Errorf("store shard %s: %w", path, err)
	}
	w.files = append(w.files, artifact.File{Path: path, Ref: ref, Records: w.count})
	w.lines.Reset()
	w.count = 0
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
	return artifact.PutManifest(ctx, w.blobs, &artifact.Manifest{Type: artifact.TypeText, Files: w.files, Meta: meta})
}

// LoadMeta reads what an artifact's manifest says of its documents.
func LoadMeta(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) (Meta, error) {
	var meta Meta
	m, err := artifact.LoadManifest(ctx, blobs, a)
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return meta, fmt.Errorf("text %s: facts: %w", a.Digest.Short(), err)
	}
	return meta, nil
}

// All yields the documents of an artifact in order. Shards are streamed, and
// verified as they are.
func All(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) Stream {
	return func(yield func(Document, error) bool) {
		m, err := artifact.LoadManifest(ctx, blobs, a)
		if err == nil && m.Type != artifact.TypeText {
			err = fmt.Errorf("%s is a %s, not text", a.Digest.Short(), m.Type)
		}
		if err != nil {
			yield(Document{}, fmt.Errorf("read documents: %w", err))
			return
		}
		for _, f := range m.Files {
			if !strings.HasSuffix(f.Path, ".jsonl") {
				continue
			}
			more, err := shard(ctx, blobs, f, yield)
			if err != nil {
				yield(Document{}, fmt.Errorf("shard %s (%s): %w", f.Path, f.Digest, err))
			}
			if err != nil || !more {
				return
			}
		}
	}
}

func shard(ctx context.Context, blobs artifact.Blobs, f artifact.File, yield func(Document, error) bool) (more bool, err error) {
	r, err := blobs.Open(ctx, f.Digest)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; scan.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var d Document
		if err := json.Unmarshal(scan.Bytes(), &d); err != nil {
			return false, fmt.Errorf("line %d: %w", n, err)
		}
		if !yield(d, nil) {
			// The rest is read so that the bytes seen so far are verified.
			_, err := io.Copy(io.Discard, r)
			return false, err
		}
	}
	return true, scan.Err()
}
