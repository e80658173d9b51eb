// Package storetest is the conformance suite of artifact.Store: a new store
// joins with one call of Run.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

// Suite says what is under test.
type Suite struct {
	// Open returns an empty store for one test.
	Open func(t *testing.T) artifact.Store
	// Corrupt replaces the stored bytes of a blob behind the store's back.
	Corrupt func(t *testing.T, s artifact.Store, d artifact.Digest, data []byte)
	// HeapLimit bounds what putting and getting 64 MiB may add to the heap, in
	// bytes; 0 is no bound (a store in memory).
	HeapLimit uint64
}

// Run tests everything that artifact.Store promises.
func Run(t *testing.T, suite Suite) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s artifact.Store)
	}{
		{"a blob is read back and is named by the digest of its bytes", blobRoundTrip},
		{"bytes that are already there are put again without a change", blobTwice},
		{"a blob that is not there is not found, and a bad digest is refused", blobMissing},
		{"a reader that fails leaves nothing behind", blobReaderFails},
		{"a put by many at once stores the bytes once", blobConcurrent},
		{"a reader that seeks is put from where it stands", blobSeeker},
		{"blobs are listed under their names and removed by them", blobNames},
		{"a name is created once only", createOnce},
		{"of 32 writers that create a name one wins and its bytes stay", createExclusive},
		{"write replaces, with and without a known size", write},
		{"a write of the wrong size fails and keeps the old content", writeWrongSize},
		{"swap replaces only what the caller has seen", swap},
		{"of 32 counters that swap none is lost", swapCounter},
		{"list yields the names under a prefix in lexical order", list},
		{"removing a name twice is no error", remove},
		{"names that cannot be stored are refused", badNames},
		{"a cancelled call returns the context's error", cancelled},
		{"aliases move by compare-and-swap", aliases},
		{"a version is claimed once and found by its name and its aliases", versions},
		{"a manifest is found by its artifact and linked under readable names", manifests},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, suite.Open(t)) })
	}
	t.Run("wrong bytes fail the read with the digest, at the latest at the end", func(t *testing.T) {
		corrupt(t, suite)
	})
	t.Run("64 MiB are streamed", func(t *testing.T) { stream(t, suite) })
}

func blobRoundTrip(t *testing.T, s artifact.Store) {
	for _, size := range []int{0, 1, 4096, 5<<20 + 3} {
		data := Bytes(uint64(size), size)
		ref, err := s.Put(t.Context(), onlyReader{bytes.NewReader(data)})
		require.NoError(t, err)
		require.Equal(t, artifact.Ref{Digest: artifact.DigestOf(data), Size: int64(size)}, ref)
		stat, err := s.Stat(t.Context(), ref.Digest)
		require.NoError(t, err)
		require.Equal(t, ref, stat)
		got, err := artifact.ReadAll(t.Context(), s, ref.Digest, 1<<30)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), "the bytes differ")
	}
	_, err := artifact.ReadAll(t.Context(), s, artifact.DigestOf(Bytes(4096, 4096)), 4095)
	require.ErrorContains(t, err, "larger than the 4095 bytes")
}

func blobTwice(t *testing.T, s artifact.Store) {
	first, err := artifact.PutBytes(t.Context(), s, []byte("same"))
	require.NoError(t, err)
	second, err := artifact.PutBytes(t.Context(), s, []byte("same"))
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Len(t, names(t, s, ""), 1)
}

func blobMissing(t *testing.T, s artifact.Store) {
	d := artifact.DigestOf([]byte("nobody stored this"))
	_, err := s.Open(t.Context(), d)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.ErrorContains(t, err, string(d))
	_, err = s.Stat(t.Context(), d)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.True(t, artifact.Permanent(err))
	for _, bad := range []artifact.Digest{"", "sha256:", "sha256:../../x", "md5:00"} {
		_, err = s.Open(t.Context(), bad)
		require.Error(t, err)
		_, err = s.Stat(t.Context(), bad)
		require.Error(t, err)
	}
}

func blobReaderFails(t *testing.T, s artifact.Store) {
	broken := errors.New("the source broke")
	_, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(Bytes(1, 3<<20)), errReader{broken}))
	require.ErrorIs(t, err, broken)
	require.Empty(t, names(t, s, ""))
	err = s.Write(t.Context(), "a.txt", io.MultiReader(strings.NewReader("half"), errReader{broken}), -1)
	require.ErrorIs(t, err, broken)
	require.Empty(t, names(t, s, ""))
}

func blobConcurrent(t *testing.T, s artifact.Store) {
	data := Bytes(7, 300_000)
	err := concurrently(32, func(int) error {
		ref, err := s.Put(t.Context(), onlyReader{bytes.NewReader(data)})
		if err == nil && ref.Digest != artifact.DigestOf(data) {
			err = fmt.Errorf("digest %s", ref.Digest)
		}
		return err
	})
	require.NoError(t, err)
	require.Equal(t, []string{artifact.BlobName(artifact.DigestOf(data))}, names(t, s, ""))
}

func blobSeeker(t *testing.T, s artifact.Store) {
	r := bytes.NewReader([]byte("header and body"))
	_, err := r.Seek(11, io.SeekStart)
	require.NoError(t, err)
	ref, err := s.Put(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, artifact.DigestOf([]byte("body")), ref.Digest)
	require.EqualValues(t, 4, ref.Size)
}

func blobNames(t *testing.T, s artifact.Store) {
	ref, err := artifact.PutBytes(t.Context(), s, []byte("blob"))
	require.NoError(t, err)
	name := artifact.BlobName(ref.Digest)
	require.Equal(t, []string{name}, names(t, s, "cas/"))
	d, ok := artifact.BlobDigest(name)
	require.True(t, ok)
	require.Equal(t, ref.Digest, d)
	require.NoError(t, s.Remove(t.Context(), name))
	_, err = s.Stat(t.Context(), ref.Digest)
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

func createOnce(t *testing.T, s artifact.Store) {
	name := artifact.CommitName("train-0123")
	require.NoError(t, s.Create(t.Context(), name, []byte(`{"n":1}`)))
	err := s.Create(t.Context(), name, []byte(`{"n":1}`))
	require.ErrorIs(t, err, artifact.ErrExists)
	require.ErrorContains(t, err, name)
	require.NoError(t, s.Remove(t.Context(), name))
	require.NoError(t, s.Create(t.Context(), name, nil))
	require.Empty(t, read(t, s, name))
}

func createExclusive(t *testing.T, s artifact.Store) {
	var winner, won atomic.Int64
	err := concurrently(32, func(i int) error {
		err := s.Create(t.Context(), "stages/race.json", fmt.Appendf(nil, "%d", i))
		if err == nil {
			won.Add(1)
			winner.Store(int64(i))
		} else if errors.Is(err, artifact.ErrExists) {
			err = nil
		}
		return err
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, won.Load())
	require.Equal(t, fmt.Sprint(winner.Load()), read(t, s, "stages/race.json"))
}

func write(t *testing.T, s artifact.Store) {
	for i, size := range []int64{3, -1} {
		text := fmt.Sprintf("<%d>", i)
		require.NoError(t, s.Write(t.Context(), "runs/p/r/report.html", onlyReader{strings.NewReader(text)}, size))
		require.Equal(t, text, read(t, s, "runs/p/r/report.html"))
	}
	require.NoError(t, artifact.WriteJSON(t.Context(), s, "runs/p/r/run.json", map[string]string{"caption": "a < b"}))
	require.Equal(t, "{\n  \"caption\": \"a < b\"\n}\n", read(t, s, "runs/p/r/run.json"))
	_, _, err := s.Read(t.Context(), "runs/p/r/none.json")
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

func writeWrongSize(t *testing.T, s artifact.Store) {
	require.NoError(t, s.Write(t.Context(), "a.txt", strings.NewReader("old"), 3))
	require.Error(t, s.Write(t.Context(), "a.txt", onlyReader{strings.NewReader("new")}, 2))
	require.Error(t, s.Write(t.Context(), "a.txt", strings.NewReader("new"), 4))
	require.Equal(t, "old", read(t, s, "a.txt"))
}

func swap(t *testing.T, s artifact.Store) {
	const name = "aliases/m.json"
	err := s.Swap(t.Context(), name, []byte("x"), "0123456789abcdef0123456789abcdef")
	require.ErrorIs(t, err, artifact.ErrConflict)
	require.NoError(t, s.Swap(t.Context(), name, []byte("1"), ""))
	require.ErrorIs(t, s.Swap(t.Context(), name, []byte("x"), ""), artifact.ErrConflict)
	first := state(t, s, name)
	require.NoError(t, s.Swap(t.Context(), name, []byte("2"), first.ETag))
	require.ErrorIs(t, s.Swap(t.Context(), name, []byte("x"), first.ETag), artifact.ErrConflict)
	require.Equal(t, "2", read(t, s, name))
}

func swapCounter(t *testing.T, s artifact.Store) {
	const name, n = "aliases/counter.json", 32
	require.NoError(t, s.Create(t.Context(), name, []byte("0")))
	err := concurrently(n, func(int) error {
		for {
			var count int
			at, err := artifact.ReadJSON(t.Context(), s, name, &count)
			if err != nil {
				return err
			}
			err = s.Swap(t.Context(), name, fmt.Append(nil, count+1), at.ETag)
			if !errors.Is(err, artifact.ErrConflict) {
				return err
			}
		}
	})
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(n), read(t, s, name))
}

func list(t *testing.T, s artifact.Store) {
	all := []string{"runs/b/1/log.txt", "runs/b/1/run.json", "runs/b/10/run.json", "runs/b/2/run.json", "runs/ä ö/1/run.json", "stages/k.json"}
	for i := len(all) - 1; i >= 0; i-- {
		require.NoError(t, s.Write(t.Context(), all[i], strings.NewReader(all[i]), -1))
	}
	require.Equal(t, all, names(t, s, ""))
	require.Equal(t, all[:2], names(t, s, "runs/b/1/"))
	require.Equal(t, all[:3], names(t, s, "runs/b/1"))
	require.Empty(t, names(t, s, "models/"))
	for n, err := range s.List(t.Context(), "runs/") {
		require.NoError(t, err)
		at := state(t, s, n.Name)
		require.Equal(t, at.Size, n.Size)
		require.Equal(t, at.ETag, n.ETag)
		require.WithinDuration(t, time.Now(), n.Modified, time.Minute)
		break // and no more is asked for
	}
}

func remove(t *testing.T, s artifact.Store) {
	require.NoError(t, s.Write(t.Context(), "a.txt", strings.NewReader("a"), 1))
	require.NoError(t, s.Remove(t.Context(), "a.txt"))
	require.NoError(t, s.Remove(t.Context(), "a.txt"))
	require.Empty(t, names(t, s, ""))
}

func badNames(t *testing.T, s artifact.Store) {
	for _, name := range []string{"", "/a", "a//b", "../a", "a/../b", "a/", "a\nb", `a\b`, strings.Repeat("x", 1025)} {
		require.Error(t, s.Create(t.Context(), name, nil), "%q", name)
		require.Error(t, s.Write(t.Context(), name, strings.NewReader(""), 0), "%q", name)
		require.Error(t, s.Swap(t.Context(), name, nil, ""), "%q", name)
	}
	require.Empty(t, names(t, s, ""))
}

func cancelled(t *testing.T, s artifact.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	ref, err := artifact.PutBytes(ctx, s, []byte("x"))
	require.NoError(t, err)
	cancel()
	_, err = artifact.PutBytes(ctx, s, []byte("y"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = artifact.ReadAll(ctx, s, ref.Digest, 10)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Create(ctx, "a", nil), context.Canceled)
	for _, err = range s.List(ctx, "") {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Error(t, err, "a cancelled list yields the context's error")
	require.Len(t, names(t, s, ""), 1)
}

func aliases(t *testing.T, s artifact.Store) {
	_, err := artifact.ReadAlias(t.Context(), s, "m", artifact.Champion)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	set := func(alias, version string, expect *string) error {
		return artifact.SetAlias(t.Context(), s, artifact.AliasChange{
			Model: "m", Alias: alias, Expect: expect,
			To: artifact.Alias{Version: version, Evidence: artifact.Evidence{Reason: "recall@1 +3.1"}},
		})
	}
	v1 := "v1"
	require.NoError(t, set(artifact.Champion, v1, new(string)))
	require.ErrorIs(t, set(artifact.Champion, "v2", new(string)), artifact.ErrConflict)
	require.NoError(t, set(artifact.Champion, "v2", &v1))
	require.NoError(t, concurrently(8, func(i int) error { return set(fmt.Sprintf("a%d", i), v1, nil) }))
	got, err := artifact.ReadAlias(t.Context(), s, "m", artifact.Champion)
	require.NoError(t, err)
	require.Equal(t, artifact.Alias{Version: "v2", Evidence: artifact.Evidence{Reason: "recall@1 +3.1"}}, got)
	_, err = artifact.ReadAlias(t.Context(), s, "m", "b")
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.ErrorContains(t, err, "a0, a1, a2, a3, a4, a5, a6, a7, champion")
}

func manifests(t *testing.T, s artifact.Store) {
	ref, err := artifact.PutBytes(t.Context(), s, []byte("{}"))
	require.NoError(t, err)
	m := &artifact.Manifest{Type: artifact.TypeModel, Files: []artifact.File{{Path: "config.json", Ref: ref}}}
	a, err := artifact.PutManifest(t.Context(), s, m)
	require.NoError(t, err)
	got, err := artifact.LoadManifest(t.Context(), s, a)
	require.NoError(t, err)
	require.Equal(t, m, got)
	_, err = artifact.LoadManifest(t.Context(), s, artifact.Artifact{Type: artifact.TypeDataset, Digest: a.Digest})
	require.ErrorContains(t, err, "is a model, not a dataset")
	_, err = artifact.LoadManifest(t.Context(), s, artifact.Artifact{Type: artifact.TypeModel, Digest: ref.Digest})
	require.ErrorContains(t, err, "is not a manifest")
	bad := &artifact.Manifest{Type: "model", Files: []artifact.File{{Path: "../x", Ref: ref}, {Path: "a"}, {Path: "a", Ref: ref}}}
	_, err = artifact.PutManifest(t.Context(), s, bad)
	require.ErrorContains(t, err, `"../x"`)
	require.ErrorContains(t, err, `path "a" is listed twice`)
	require.ErrorContains(t, err, `digest ""`)
	require.NoError(t, artifact.Link(t.Context(), s, "models/m/v1/config.json", ref.Digest))
	require.Equal(t, "{}", read(t, s, "models/m/v1/config.json"))
	err = artifact.Link(t.Context(), s, "models/m/v1/x", artifact.DigestOf([]byte("not stored")))
	require.ErrorIs(t, err, artifact.ErrNotFound)
}

func corrupt(t *testing.T, suite Suite) {
	s := suite.Open(t)
	data := Bytes(3, 200_000)
	ref, err := artifact.PutBytes(t.Context(), s, data)
	require.NoError(t, err)
	for _, wrong := range [][]byte{append(bytes.Clone(data[:199_999]), data[199_999]^1), data[:100_000], append(bytes.Clone(data), 0)} {
		suite.Corrupt(t, s, ref.Digest, wrong)
		_, err = artifact.ReadAll(t.Context(), s, ref.Digest, 1<<30)
		require.ErrorIs(t, err, artifact.ErrDigest)
		require.ErrorContains(t, err, string(ref.Digest))
		require.True(t, artifact.Permanent(err))
	}
}

func stream(t *testing.T, suite Suite) {
	const size = 64 << 20
	s := suite.Open(t)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak := func() {
		runtime.ReadMemStats(&now)
		if grown := int64(now.HeapInuse) - int64(before.HeapInuse); suite.HeapLimit > 0 && grown > int64(suite.HeapLimit) {
			t.Fatalf("the heap grew by %d MiB", grown>>20)
		}
	}
	ref, err := s.Put(t.Context(), &observed{r: &generator{left: size}, each: peak})
	require.NoError(t, err)
	require.EqualValues(t, size, ref.Size)
	peak()
	r, err := s.Open(t.Context(), ref.Digest)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, &observed{r: r, each: peak})
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, r.Close())
	require.NoError(t, s.Write(t.Context(), "models/m/v1/model.safetensors", &generator{left: size}, size))
	require.EqualValues(t, size, state(t, s, "models/m/v1/model.safetensors").Size)
	peak()
}
