package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/cache"
	"tempera/infra/artifact/mem"
	"tempera/infra/artifact/storetest"
)

// counted counts the blobs that are opened.
type counted struct {
	artifact.Store
	opens atomic.Int64
	gate  chan struct{} // reads wait for it, where it is set
}

func (c *counted) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	c.opens.Add(1)
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return c.Store.Open(ctx, d)
}

func newCache(t *testing.T, s artifact.Store, dir string, limit int64) *cache.Cache {
	t.Helper()
	c, err := cache.New(s, dir, limit)
	require.NoError(t, err)
	return c
}

func put(t *testing.T, s artifact.Store, seed uint64, size int) (artifact.Digest, []byte) {
	t.Helper()
	data := storetest.Bytes(seed, size)
	ref, err := artifact.PutBytes(t.Context(), s, data)
	require.NoError(t, err)
	return ref.Digest, data
}

func get(t *testing.T, s artifact.Store, d artifact.Digest) []byte {
	t.Helper()
	data, err := artifact.ReadAll(t.Context(), s, d, 1<<30)
	require.NoError(t, err)
	return data
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Suite{
		Open: func(t *testing.T) artifact.Store { return newCache(t, mem.New(), t.TempDir(), 1<<20) },
		Corrupt: func(t *testing.T, s artifact.Store, d artifact.Digest, data []byte) {
			require.NoError(t, s.Write(t.Context(), artifact.BlobName(d), bytes.NewReader(data), -1))
		},
	})
}

func TestCache(t *testing.T) {
	t.Run("a blob is fetched once, also by a later process", func(t *testing.T) {
		s, dir := &counted{Store: mem.New()}, t.TempDir()
		d, data := put(t, s, 1, 100_000)
		for range 2 {
			c := newCache(t, s, dir, 1<<20)
			for range 3 {
				require.True(t, bytes.Equal(data, get(t, c, d)))
			}
		}
		require.EqualValues(t, 1, s.opens.Load())
	})
	t.Run("32 readers of one blob cause one fetch", func(t *testing.T) {
		s := &counted{Store: mem.New()}
		c := newCache(t, s, t.TempDir(), 1<<20)
		d, data := put(t, s, 1, 100_000)
		var wg sync.WaitGroup
		var wrong atomic.Int64
		for range 32 {
			wg.Go(func() {
				got, err := artifact.ReadAll(t.Context(), c, d, 1<<20)
				if err != nil || !bytes.Equal(got, data) {
					wrong.Add(1)
				}
			})
		}
		wg.Wait()
		require.Zero(t, wrong.Load())
		require.EqualValues(t, 1, s.opens.Load())
		require.Equal(t, cache.Stats{Hits: 31, Misses: 1, Bytes: 100_000}, c.Stats())
	})
	t.Run("a reader that gives up leaves the next one to fetch", func(t *testing.T) {
		s := &counted{Store: mem.New(), gate: make(chan struct{})}
		c := newCache(t, s, t.TempDir(), 1<<20)
		d, data := put(t, s, 1, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := c.Open(ctx, d)
			first <- err
		}()
		require.Eventually(t, func() bool { return s.opens.Load() == 1 }, time.Second, time.Millisecond)
		second := make(chan []byte, 1)
		go func() {
			got, _ := artifact.ReadAll(t.Context(), c, d, 1<<20)
			second <- got
		}()
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		close(s.gate)
		require.True(t, bytes.Equal(data, <-second))
	})
	t.Run("a file that was damaged between processes is fetched again", func(t *testing.T) {
		s, dir := &counted{Store: mem.New()}, t.TempDir()
		d, data := put(t, s, 1, 1000)
		get(t, newCache(t, s, dir, 1<<20), d)
		file := filepath.Join(dir, "sha256", d.Hex()[:2], d.Hex())
		require.NoError(t, os.WriteFile(file, append(bytes.Clone(data[:999]), data[999]^1), 0o600))
		require.True(t, bytes.Equal(data, get(t, newCache(t, s, dir, 1<<20), d)))
		require.EqualValues(t, 2, s.opens.Load())
	})
	t.Run("wrong bytes of the store are not kept", func(t *testing.T) {
		s, dir := mem.New(), t.TempDir()
		d, data := put(t, s, 1, 1000)
		require.NoError(t, s.Write(t.Context(), artifact.BlobName(d), strings.NewReader("damaged"), -1))
		c := newCache(t, s, dir, 1<<20)
		_, _, err := c.Path(t.Context(), d)
		require.ErrorIs(t, err, artifact.ErrDigest)
		require.Empty(t, files(t, dir))
		put(t, s, 1, 1000)
		require.True(t, bytes.Equal(data, get(t, c, d)))
	})
	t.Run("the least recently used files go first", func(t *testing.T) {
		s, dir := &counted{Store: mem.New()}, t.TempDir()
		c := newCache(t, s, dir, 2500)
		a, _ := put(t, s, 1, 1000)
		b, _ := put(t, s, 2, 1000)
		d, _ := put(t, s, 3, 1000)
		for _, x := range []artifact.Digest{a, b, a, d} { // b is the oldest when d comes
			get(t, c, x)
			time.Sleep(5 * time.Millisecond)
		}
		require.ElementsMatch(t, []string{a.Hex(), d.Hex()}, files(t, dir))
		require.Equal(t, cache.Stats{Hits: 1, Misses: 3, Evicted: 1, Bytes: 2000}, c.Stats())
	})
	t.Run("a file in use outlives eviction by another process, and goes when released", func(t *testing.T) {
		s, dir := mem.New(), t.TempDir()
		c := newCache(t, s, dir, 1500)
		a, data := put(t, s, 1, 1000)
		b, _ := put(t, s, 2, 1000)
		path, release, err := c.Path(t.Context(), a)
		require.NoError(t, err)
		other := newCache(t, s, dir, 1500)
		get(t, other, b)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		release()
		release() // once more does nothing
		get(t, other, b)
		require.LessOrEqual(t, len(files(t, dir)), 1)
	})
	t.Run("a folder that is over its bound at the start is trimmed", func(t *testing.T) {
		s, dir := mem.New(), t.TempDir()
		c := newCache(t, s, dir, 1<<20)
		for seed := range uint64(5) {
			d, _ := put(t, s, seed, 1000)
			get(t, c, d)
		}
		newCache(t, s, dir, 2000)
		require.Len(t, files(t, dir), 2)
		_, err := cache.New(s, dir, 0)
		require.ErrorContains(t, err, "want more than 0")
	})
}

func TestLocalPath(t *testing.T) {
	s := mem.New()
	d, data := put(t, s, 1, 1000)
	for name, store := range map[string]artifact.Store{
		"of a store without files":  s,
		"of a store that has files": newCache(t, s, t.TempDir(), 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			path, release, err := artifact.LocalPath(t.Context(), store, d, t.TempDir())
			require.NoError(t, err)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
			release()
			_, _, err = artifact.LocalPath(t.Context(), store, artifact.DigestOf(nil), t.TempDir())
			require.ErrorIs(t, err, artifact.ErrNotFound)
		})
	}
	t.Run("a damaged blob leaves no file", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, s.Write(t.Context(), artifact.BlobName(d), strings.NewReader("damaged"), -1))
		_, _, err := artifact.LocalPath(t.Context(), s, d, dir)
		require.ErrorIs(t, err, artifact.ErrDigest)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

// files returns the names of all files in the cache's folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, filepath.Base(path))
		}
		return err
	})
	require.NoError(t, errors.Join(err))
	return all
}
