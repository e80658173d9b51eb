package example

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tempera/infra/artifact"
)

// Meta is the Meta of an examples artifact's manifest.
type Meta struct {
	Title   string       `json:"title,omitempty"`
	License []string     `json:"license,omitempty"` // SPDX identifiers
	Credits []string     `json:"credits,omitempty"` // whom the licences ask to name
	Rows    int          `json:"rows"`
	Forms   map[Form]int `json:"forms"` // rows of each form
	Images  int          `json:"images,omitempty"`
	Longest int          `json:"longest"` // bytes of the longest row's texts
}

// shardBytes is when a shard is closed, its images counted.
const shardBytes = 16 << 20

// maxLine bounds a line that is read, in bytes.
const maxLine = 1 << 30

// Writer stores rows as JSON Lines shards, name-000000.jsonl and so on, with the images of each in a tar beside it. It holds one shard in memory. It is
// not for concurrent use.
type Writer struct {
	name   string
	blobs  artifact.Blobs
	meta   Meta
	lines  bytes.Buffer
	images bytes.Buffer
	tar    *tar.Writer
	count  int // rows in lines
	files  []artifact.File
	limit  int
}

// NewWriter starts an artifact. Its shards are named after name; meta says what the rows cannot.
func NewWriter(blobs artifact.Blobs, name string, meta Meta) *Writer {
	meta.Forms = map[Form]int{}
	w := &Writer{name: name, blobs: blobs, meta: meta, limit: shardBytes}
	w.tar = tar.NewWriter(&w.images)
	return w
}

// Rows returns how many have been added.
func (w *Writer) Rows() int { return w.meta.Rows }

// Add appends a row. It names the images of a row after its place.
func (w *Writer) Add(ctx context.Context, e *Example) error {
	if err := e.Validate(); err != nil {
		return fmt.Errorf("row %s: %w", e.ID, err)
	}
	row := *e
	row.Images = nil
	for i, data := range e.Pictures {
		name := fmt.Sprintf("%06d-%d.%s", w.count, i, imageExtension(data))
		h := tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.tar.WriteHeader(&h); err != nil {
			return fmt.Errorf("row %s: %w", e.ID, err)
		}
		if _, err := w.tar.Write(data); err != nil {
			return fmt.Errorf("row %s: %w", e.ID, err)
		}
		row.Images = append(row.Images, name)
	}
	enc := json.NewEncoder(&w.lines)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&row); err != nil {
		return fmt.Errorf("row %s: %w", e.ID, err)
	}
	w.count++
	w.meta.Rows++
	w.meta.Forms[e.Form()]++
	w.meta.Images += len(e.Pictures)
	w.meta.Longest = max(w.meta.Longest, e.size())
	if w.lines.Len()+w.images.Len() < w.limit {
		return nil
	}
	return w.flush(ctx)
}

// imageExtension tells PNG from JPEG.
func imageExtension(data []byte) string {
	if bytes.HasPrefix(data, []byte("\x89PNG")) {
		return "png"
	}
	return "jpg"
}

// size is the bytes of the longest of a row's texts with its prompt.
func (e *Example) size() int {
	n, prompt := 0, len(e.Prompt.String())
	for _, m := range e.Messages {
		n += len(m.Text())
	}
	for _, t := range []*Text{e.Completion, e.Chosen, e.Rejected} {
		n = max(n, prompt+len(t.String()))
	}
	return max(n, prompt+len(strings.Join(e.Steps, "")))
}

func (w *Writer) flush(ctx context.Context) error {
	if w.count == 0 {
		return nil
	}
	stem := fmt.Sprintf("%s-%06d", w.name, w.shards())
	if err := w.put(ctx, stem+".jsonl", w.lines.Bytes(), w.count); err != nil {
		return err
	}
	if w.images.Len() > 0 {
		if err := w.tar.Close(); err != nil {
			return fmt.Errorf("images of shard %s: %w", stem, err)
		}
		if err := w.put(ctx, stem+".tar", w.images.Bytes(), 0); err != nil {
			return err
		}
	}
	w.lines.Reset()
	w.images.Reset()
	w.tar, w.count = tar.NewWriter(&w.images), 0
	return nil
}

func (w *Writer) put(ctx context.Context, path string, data []byte, records int) error {
	ref, err := artifact.PutBytes(ctx, w.blobs, data)
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	w.files = append(w.files, artifact.File{Path: path, Ref: ref, Records: records})
	return nil
}

// shards is the number of those that are stored.
func (w *Writer) shards() int {
	n := 0
	for _, f := range w.files {
		if strings.HasSuffix(f.Path, ".jsonl") {
			n++
		}
	}
	return n
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
	return artifact.PutManifest(ctx, w.blobs, &artifact.Manifest{Type: artifact.TypeExamples, Files: w.files, Meta: meta})
}

// LoadMeta reads what an artifact's manifest says of its rows.
func LoadMeta(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) (Meta, error) {
	var meta Meta
	m, err := load(ctx, blobs, a)
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return meta, fmt.Errorf("examples %s: facts: %w", a.Digest.Short(), err)
	}
	return meta, nil
}

func load(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) (*artifact.Manifest, error) {
	m, err := artifact.LoadManifest(ctx, blobs, a)
	if err == nil && m.Type != artifact.TypeExamples {
		err = fmt.Errorf("%s is a %s, not examples", a.Digest.Short(), m.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	return m, nil
}

// All yields the rows of an artifact in order, with their pictures. A shard's images are in memory while its rows are read; the bytes are verified.
func All(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) Stream {
	return func(yield func(*Example, error) bool) {
		m, err := load(ctx, blobs, a)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, f := range m.Files {
			stem, isRows := strings.CutSuffix(f.Path, ".jsonl")
			if !isRows {
				continue
			}
			images, err := readImages(ctx, blobs, m, stem+".tar")
			more := false
			if err == nil {
				more, err = readShard(ctx, blobs, f, images, yield)
			}
			if err != nil {
				yield(nil, fmt.Errorf("shard %s (%s): %w", f.Path, f.Digest, err))
			}
			if err != nil || !more {
				return
			}
		}
	}
}

// Load returns all rows of an artifact.
func Load(ctx context.Context, blobs artifact.Blobs, a artifact.Artifact) ([]*Example, error) {
	var rows []*Example
	for e, err := range All(ctx, blobs, a) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, e)
	}
	return rows, nil
}

// readImages reads the tar at path by member; there may be none.
func readImages(ctx context.Context, blobs artifact.Blobs, m *artifact.Manifest, path string) (_ map[string][]byte, err error) {
	f, err := m.Find(path)
	if err != nil {
		return nil, nil //nolint:nilerr // a shard without images has no tar
	}
	r, err := blobs.Open(ctx, f.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	images := map[string][]byte{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r) // what follows the end marker is verified too
			return images, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if images[h.Name], err = io.ReadAll(t); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
}

func readShard(ctx context.Context, blobs artifact.Blobs, f artifact.File, images map[string][]byte, yield func(*Example, error) bool) (more bool, err error) {
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
		e := new(Example)
		if err := json.Unmarshal(scan.Bytes(), e); err != nil {
			return false, fmt.Errorf("line %d: %w", n, err)
		}
		for _, name := range e.Images {
			data, ok := images[name]
			if !ok {
				return false, fmt.Errorf("line %d: there is no image %s", n, name)
			}
			e.Pictures = append(e.Pictures, data)
		}
		if !yield(e, nil) {
			_, err := io.Copy(io.Discard, r) // so that the bytes seen so far are verified
			return false, err
		}
	}
	return true, scan.Err()
}
