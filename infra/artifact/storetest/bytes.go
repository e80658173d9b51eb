package storetest

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

// Bytes returns n reproducible random bytes.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // never fails
	return b
}

// onlyReader hides every other method of a reader.
type onlyReader struct{ io.Reader }

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// generator yields left bytes that no compression or deduplication shortens.
type generator struct {
	left int
	r    *rand.ChaCha8
}

func (g *generator) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	if g.r == nil {
		g.r = rand.NewChaCha8([32]byte{9})
	}
	n, err := g.r.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// observed calls each about once per 4 MiB read.
type observed struct {
	r     io.Reader
	each  func()
	since int
}

func (o *observed) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if o.since += n; o.since >= 4<<20 {
		o.since = 0
		o.each()
	}
	return n, err
}

func concurrently(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func names(t *testing.T, s artifact.Store, prefix string) []string {
	t.Helper()
	var all []string
	for n, err := range s.List(t.Context(), prefix) {
		require.NoError(t, err)
		all = append(all, n.Name)
	}
	return all
}

func read(t *testing.T, s artifact.Store, name string) string {
	t.Helper()
	r, at, err := s.Read(t.Context(), name)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.EqualValues(t, len(data), at.Size)
	require.Equal(t, name, at.Name)
	return string(data)
}

func state(t *testing.T, s artifact.Store, name string) artifact.Named {
	t.Helper()
	r, at, err := s.Read(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return at
}
