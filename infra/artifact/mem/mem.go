// Package mem keeps a store in memory, for tests and for trying pipelines
// without a server. It behaves as minio does, as storetest shows.
package mem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tempera/infra/artifact"
)

// Store is an artifact.Store in memory.
type Store struct {
	mu      sync.RWMutex
	objects map[string]object
}

type object struct {
	data     []byte
	etag     string
	modified time.Time
}

// New returns an empty store.
func New() *Store { return &Store{objects: make(map[string]object)} }

func (s *Store) set(name string, data []byte) {
	sum := sha256.Sum256(data)
	s.objects[name] = object{data: data, etag: hex.EncodeToString(sum[:16]), modified: time.Now()}
}

func (s *Store) get(ctx context.Context, name string) (object, error) {
	if err := ctx.Err(); err != nil {
		return object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[name]
	if !ok {
		return object{}, artifact.ErrNotFound
	}
	return o, nil
}

// Put implements artifact.Blobs.
func (s *Store) Put(ctx context.Context, r io.Reader) (artifact.Ref, error) {
	data, err := io.ReadAll(&contextReader{ctx, r})
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("put blob: %w", err)
	}
	ref := artifact.Ref{Digest: artifact.DigestOf(data), Size: int64(len(data))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(artifact.BlobName(ref.Digest), data)
	return ref, nil
}

// Open implements artifact.Blobs.
func (s *Store) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	o, err := s.get(ctx, artifact.BlobName(d))
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return artifact.Verify(io.NopCloser(&contextReader{ctx, bytes.NewReader(o.data)}), d), nil
}

// Stat implements artifact.Blobs.
func (s *Store) Stat(ctx context.Context, d artifact.Digest) (artifact.Ref, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return artifact.Ref{}, fmt.Errorf("stat blob: %w", err)
	}
	o, err := s.get(ctx, artifact.BlobName(d))
	if err != nil {
		return artifact.Ref{}, fmt.Errorf("stat blob %s: %w", d, err)
	}
	return artifact.Ref{Digest: d, Size: int64(len(o.data))}, nil
}

// Create implements artifact.Names.
func (s *Store) Create(ctx context.Context, name string, data []byte) error {
	if err := s.swap(ctx, name, data, ""); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

// Swap implements artifact.Names.
func (s *Store) Swap(ctx context.Context, name string, data []byte, etag string) error {
	err := s.swap(ctx, name, data, etag)
	if err == artifact.ErrExists { //nolint:errorlint // swap's own value
		err = artifact.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("swap %s: %w", name, err)
	}
	return nil
}

func (s *Store) swap(ctx context.Context, name string, data []byte, etag string) error {
	if err := artifact.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	switch {
	case etag == "" && ok:
		return artifact.ErrExists
	case o.etag != etag:
		return artifact.ErrConflict
	}
	s.set(name, bytes.Clone(data))
	return nil
}

// Write implements artifact.Names.
func (s *Store) Write(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := artifact.CheckName(name); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	data, err := io.ReadAll(&contextReader{ctx, r})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if size >= 0 && size != int64(len(data)) {
		return fmt.Errorf("write %s: got %d bytes, want %d", name, len(data), size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(name, data)
	return nil
}

// Read implements artifact.Names.
func (s *Store) Read(ctx context.Context, name string) (io.ReadCloser, artifact.Named, error) {
	o, err := s.get(ctx, name)
	if err != nil {
		return nil, artifact.Named{}, fmt.Errorf("read %s: %w", name, err)
	}
	return io.NopCloser(&contextReader{ctx, bytes.NewReader(o.data)}), o.named(name), nil
}

func (o object) named(name string) artifact.Named {
	return artifact.Named{Name: name, Size: int64(len(o.data)), ETag: o.etag, Modified: o.modified}
}

// List implements artifact.Names; it yields what was there when it began.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[artifact.Named, error] {
	return func(yield func(artifact.Named, error) bool) {
		s.mu.RLock()
		snapshot := maps.Clone(s.objects)
		s.mu.RUnlock()
		for _, name := range slices.Sorted(maps.Keys(snapshot)) {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(artifact.Named{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(snapshot[name].named(name), nil) {
				return
			}
		}
	}
}

// Remove implements artifact.Remover.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one read call chain
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
