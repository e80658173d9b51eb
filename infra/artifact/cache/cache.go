// Package cache keeps blobs that were read from a store as files on this
// machine, so that a worker does not fetch a model twice.
//
// A file is verified when it is fetched and once more when a process first uses
// it. Several processes may share a folder: files appear by renaming, and one
// that is in use is locked against eviction. The least recently used files go
// when the folder outgrows its bound.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tempera/infra/artifact"
)

// Cache is an artifact.Store and artifact.Local over another store. Reads of
// blobs go through the folder; everything else goes straight to the store.
type Cache struct {
	artifact.Store
	dir string
	max int64 // bytes

	mu       sync.Mutex
	flights  map[artifact.Digest]*flight
	verified map[artifact.Digest]fs.FileInfo // as the file was when its bytes were last checked
	used     int64                           // bytes in the folder as far as this process knows

	hits, misses, evicted atomic.Int64
}

// flight serialises the fetches of one digest. A caller that gives up leaves
// the next one to try.
type flight struct {
	turn    chan struct{}
	waiting int
}

// New returns a cache in a folder of its own, which is made where it is
// missing. maxBytes bounds what stays there while nobody reads it.
func New(store artifact.Store, dir string, maxBytes int64) (*Cache, error) {
	if maxBytes <= 0 {
		return nil, fmt.Errorf("cache %s: bound of %d bytes: want more than 0", dir, maxBytes)
	}
	for _, sub := range []string{"sha256", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	c := &Cache{
		Store: store, dir: dir, max: maxBytes,
		flights: make(map[artifact.Digest]*flight), verified: make(map[artifact.Digest]fs.FileInfo),
	}
	if err := c.removeLeftovers(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, c.evict()
}

// Stats counts what the cache did since New.
type Stats struct {
	Hits, Misses, Evicted, Bytes int64
}

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load(), Bytes: c.used}
}

func (c *Cache) path(d artifact.Digest) string {
	return filepath.Join(c.dir, "sha256", d.Hex()[:2], d.Hex())
}

// Link implements artifact.Linker where the store beneath does.
func (c *Cache) Link(ctx context.Context, name string, d artifact.Digest) error {
	return artifact.Link(ctx, c.Store, name, d)
}

// Open implements artifact.Blobs.
func (c *Cache) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	f, err := c.acquire(ctx, d)
	if err != nil {
		return nil, err
	}
	return &openFile{f: f, ctx: ctx, done: c.trim}, nil
}

// Path implements artifact.Local.
func (c *Cache) Path(ctx context.Context, d artifact.Digest) (string, func(), error) {
	f, err := c.acquire(ctx, d)
	if err != nil {
		return "", nil, err
	}
	return c.path(d), sync.OnceFunc(func() {
		_ = f.Close() // only read; closing drops the lock
		c.trim()
	}), nil
}

// acquire returns the verified file of a blob, locked against eviction until it
// is closed.
func (c *Cache) acquire(ctx context.Context, d artifact.Digest) (*os.File, error) {
	if _, err := artifact.ParseDigest(string(d)); err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	done, err := c.takeTurn(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	defer done()
	f, err := c.lookUp(d)
	if err != nil {
		return nil, fmt.Errorf("cache %s: %w", c.dir, err)
	}
	if f != nil {
		c.hits.Add(1)
		return f, nil
	}
	c.misses.Add(1)
	return c.fetch(ctx, d)
}

// takeTurn waits until no other goroutine works on d.
func (c *Cache) takeTurn(ctx context.Context, d artifact.Digest) (done func(), err error) {
	c.mu.Lock()
	fl := c.flights[d]
	if fl == nil {
		fl = &flight{turn: make(chan struct{}, 1)}
		c.flights[d] = fl
	}
	fl.waiting++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if fl.waiting--; fl.waiting == 0 {
			delete(c.flights, d)
		}
	}
	select {
	case fl.turn <- struct{}{}:
		return func() { <-fl.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// lookUp returns the file of d where it is there and right, and nil where it
// has to be fetched. A file with wrong bytes is removed.
func (c *Cache) lookUp(d artifact.Digest) (*os.File, error) {
	f, err := os.Open(c.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lockShared(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	good, err := c.verify(f, d)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !good {
		return nil, errors.Join(f.Close(), removeFile(c.path(d)))
	}
	now := time.Now()
	_ = os.Chtimes(c.path(d), now, now) // only the order of eviction
	return f, nil
}

// verify reports whether f still is the file under the name of d and holds its
// bytes. The bytes are hashed once per process and file.
func (c *Cache) verify(f *os.File, d artifact.Digest) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(c.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // evicted between opening and locking
	}
	if err != nil {
		return false, err
	}
	if !os.SameFile(info, named) {
		return false, nil
	}
	c.mu.Lock()
	last := c.verified[d]
	c.mu.Unlock()
	if last != nil && os.SameFile(last, info) && last.Size() == info.Size() {
		return true, nil
	}
	hash := artifact.NewHash()
	if _, err := io.Copy(hash, f); err != nil {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	if hash.Ref().Digest != d {
		return false, nil
	}
	c.remember(d, info)
	return true, nil
}

func (c *Cache) remember(d artifact.Digest, info fs.FileInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified[d] = info
}

// fetch copies d from the store into the folder.
func (c *Cache) fetch(ctx context.Context, d artifact.Digest) (_ *os.File, err error) {
	r, err := c.Store.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := os.CreateTemp(filepath.Join(c.dir, "tmp"), d.Short()+"-*")
	if err != nil {
		return nil, c.localFault(d, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), removeFile(f.Name()))
		}
	}()
	if err := lockShared(f); err != nil {
		return nil, c.localFault(d, err)
	}
	n, err := io.Copy(f, r)
	if err != nil {
		return nil, c.localFault(d, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, c.localFault(d, err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.path(d)), 0o755), os.Rename(f.Name(), c.path(d))); err != nil {
		return nil, c.localFault(d, err)
	}
	info, err := os.Stat(c.path(d))
	if err != nil {
		return nil, c.localFault(d, err)
	}
	c.remember(d, info)
	c.mu.Lock()
	c.used += n
	c.mu.Unlock()
	c.trim()
	return f, nil
}

// localFault tells this machine's disk from the store.
func (c *Cache) localFault(d artifact.Digest, err error) error {
	if isDiskFull(err) {
		return fmt.Errorf("cache %s in %s: %w: %w: free space, or point the cache at a larger disk", d, c.dir, artifact.ErrFull, err)
	}
	return fmt.Errorf("cache %s in %s: %w", d, c.dir, err)
}

// openFile reads a cached blob and lets go of it when closed.
type openFile struct {
	f    *os.File
	ctx  context.Context //nolint:containedctx // io.Reader has none
	done func()
}

func (o *openFile) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.f.Read(p)
}

func (o *openFile) ReadAt(p []byte, offset int64) (int, error) { return o.f.ReadAt(p, offset) }

func (o *openFile) Seek(offset int64, whence int) (int64, error) { return o.f.Seek(offset, whence) }

func (o *openFile) Close() error {
	err := o.f.Close()
	o.done()
	return err
}
