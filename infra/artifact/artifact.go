// Package artifact names what runs produce and says how it is kept.
//
// Bytes live once, under their digest, and never change (Blobs). Everything a
// person looks for by name (run folders, stage commits, aliases, checkpoints)
// is a small mutable layer of names beside them (Names). A Manifest ties the
// blobs of one data set, model or report together; an Artifact is the small
// reference to a manifest that travels through workflows.
//
// Start reading at Store; mem and minio implement it and share the
// conformance suite in storetest. Blobs are names too: List shows them under
// BlobName and Remove takes them, which is how the sweep works.
package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// Digest is "sha256:" followed by 64 lower-case hex digits.
type Digest string

// Hex returns the hex digits of the digest.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short returns the first twelve hex digits, for people.
func (d Digest) Short() string {
	h := d.Hex()
	return h[:min(12, len(h))]
}

// ParseDigest checks the form of a digest.
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != 64 || strings.Trim(h, "0123456789abcdef") != "" {
		return "", fmt.Errorf("digest %q: want sha256: and 64 lower-case hex digits", s)
	}
	return Digest(s), nil
}

// Ref points at immutable bytes.
type Ref struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// Artifact is what an output of a stage is: the digest of its manifest, its
// type, and nothing large, so that it can travel in workflow payloads.
type Artifact struct {
	Type   string `json:"type"`
	Digest Digest `json:"digest"`
}

// The types of artifact that stages exchange.
const (
	TypeDataset    = "dataset"    // WebDataset shards
	TypeModel      = "model"      // model.safetensors, config.json, tokenizer.json, README.md
	TypeTokenizer  = "tokenizer"  // tokenizer.json
	TypeEvaluation = "evaluation" // metrics.json and per-sample tables
	TypeReport     = "report"     // report.html
	TypeText       = "text"       // documents, JSON Lines
	TypeTokens     = "tokens"     // token shards of documents
	TypeExamples   = "examples"   // rows for post-training, JSON Lines and their images
	TypeState      = "state"      // what a training needs besides its model to go on: a checkpoint
	TypeReference  = "reference"  // log-probabilities of preferences under a model, JSON Lines
)

// Manifest lists the files of one artifact in a fixed order. Its canonical
// JSON (Encode) is what Artifact.Digest names.
type Manifest struct {
	Type  string          `json:"type"`
	Files []File          `json:"files"`
	Meta  json.RawMessage `json:"meta,omitempty"` // what the type needs, e.g. the data set card's facts
}

// File is one file of an artifact.
type File struct {
	Path    string `json:"path"` // slash-separated, relative, unique in the manifest
	Ref            // where the bytes are
	Records int    `json:"records,omitempty"` // samples in a shard
}

// Encode returns the canonical JSON of m.
func (m *Manifest) Encode() ([]byte, error) { return json.Marshal(m) }

// Find returns the file with the path, or an error that lists what there is.
func (m *Manifest) Find(path string) (File, error) {
	names := make([]string, 0, len(m.Files))
	for _, f := range m.Files {
		if f.Path == path {
			return f, nil
		}
		names = append(names, f.Path)
	}
	return File{}, fmt.Errorf("%s artifact has no file %q (it has %s)", m.Type, path, strings.Join(names, ", "))
}

// Errors that callers branch on. Implementations wrap them with the operation,
// the object and what to do about it.
var (
	ErrNotFound   = errors.New("not found")
	ErrExists     = errors.New("already exists")
	ErrConflict   = errors.New("changed by someone else") // compare-and-swap lost
	ErrDigest     = errors.New("content does not match its digest")
	ErrPermission = errors.New("permission denied")
	ErrNoBucket   = errors.New("bucket does not exist")
	ErrFull       = errors.New("no space left in the store")
	ErrTransient  = errors.New("store temporarily unavailable") // retries are spent; a later attempt may succeed
	// ErrCredentials means that the store does not know who asks: a wrong key, an
	// expired token, a clock that is off.
	ErrCredentials = errors.New("credentials refused")
)

// Permanent reports whether repeating the same call cannot help: somebody has
// to change something first. A full store and a spent retry are not permanent.
func Permanent(err error) bool {
	for _, class := range []error{ErrNotFound, ErrExists, ErrDigest, ErrPermission, ErrNoBucket, ErrCredentials} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// Blobs is the content-addressed half of a store. All methods may be called
// concurrently and retry transient faults themselves.
type Blobs interface {
	// Put streams r into the store and returns its digest and size. It never
	// holds the whole object in memory; bytes that are already there are not
	// written twice. Put consumes r once: it does not need to seek, but a reader
	// that can is read twice instead of being spooled.
	Put(ctx context.Context, r io.Reader) (Ref, error)
	// Open returns the bytes. The digest is verified while reading: a read
	// that reaches the end of wrong bytes fails with ErrDigest, never io.EOF.
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)
	// Stat reports ErrNotFound for bytes that are not there.
	Stat(ctx context.Context, d Digest) (Ref, error)
}

// Named is the state of one name.
type Named struct {
	Name     string
	Size     int64
	ETag     string
	Modified time.Time
}

// Names is the mutable half of a store. Names are slash-separated paths.
type Names interface {
	// Create writes a name that must not exist: ErrExists otherwise. It is how a
	// stage commits: the name's appearance is the commit.
	Create(ctx context.Context, name string, data []byte) error
	// Write creates or replaces a name, streaming size bytes (-1: unknown) from r.
	// The content type follows the name's extension.
	Write(ctx context.Context, name string, r io.Reader, size int64) error
	// Read opens a name with its current state.
	Read(ctx context.Context, name string) (io.ReadCloser, Named, error)
	// Swap replaces a name only where its ETag is still etag ("" means: must not
	// exist) and fails with ErrConflict otherwise.
	Swap(ctx context.Context, name string, data []byte, etag string) error
	// List yields the names under a prefix in lexical order.
	List(ctx context.Context, prefix string) iter.Seq2[Named, error]
}

// Remover deletes. Only checkpoints' owners and the sweep use it.
type Remover interface {
	// Remove deletes a name; a name that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// Store is both halves.
type Store interface {
	Blobs
	Names
	Remover
}
