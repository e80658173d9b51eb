package shard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/sample"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

func pair(i int) sample.Sample {
	return sample.Sample{
		Key: fmt.Sprintf("k%04d", i), Image: bytes.Repeat([]byte{byte(i)}, 100+i), Format: "png", Caption: fmt.Sprintf("caption %d\n", i),
		Facts: sample.Facts{Source: "test", Concepts: []string{"c"}, Truth: &sample.Truth{Caption: "t", Scene: json.RawMessage(`{"n":1}`)}, Scores: map[string]float64{"itm": .5, "itc": .25}},
	}
}

func write(t *testing.T, store artifact.Blobs, opts Options, n int) artifact.Artifact {
	t.Helper()
	w := NewWriter(context.Background(), store, opts)
	defer w.Discard()
	for i := range n {
		require.NoError(t, w.Add(pair(i)))
	}
	a, err := w.Close()
	require.NoError(t, err)
	return a
}

func TestADatasetComesBackAsItWasWritten(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	card := Card{Title: `A "quoted" | title`, License: []string{"CC-BY-4.0"}, Credits: []string{"Somebody"}}
	a := write(t, store, Options{Name: "train", Records: 10, Card: card}, 25)
	require.Equal(t, a, write(t, store, Options{Name: "train", Records: 10, Card: card}, 25), "equal samples give equal bytes")

	d, err := Open(ctx, store, a, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, 25, d.Len())
	var records []int
	for _, f := range d.Shards() {
		records = append(records, f.Records)
	}
	require.Equal(t, []int{10, 10, 5}, records)
	require.Equal(t, "train-000002.tar", d.Shards()[2].Path)
	for _, i := range []int{24, 0, 10, 9, 13} {
		got, err := d.Sample(ctx, i)
		require.NoError(t, err)
		require.Equal(t, pair(i), got)
	}
	i := 0
	for got, err := range d.All(ctx) {
		require.NoError(t, err)
		require.Equal(t, pair(i), got)
		i++
	}
	require.Equal(t, 25, i)
	i = 10
	for got, err := range d.Shard(ctx, 1) {
		require.NoError(t, err)
		require.Equal(t, pair(i), got)
		i++
	}
	require.Equal(t, 20, i)
	_, err = d.Sample(ctx, 25)
	require.ErrorContains(t, err, "has 25")
	require.NoError(t, d.Close())

	m, err := artifact.LoadManifest(ctx, store, a)
	require.NoError(t, err)
	readme, err := artifact.ReadAll(ctx, store, m.Files[3].Digest, 1<<20)
	require.NoError(t, err)
	require.Contains(t, string(readme), "license:\n  - cc-by-4.0\n")
	require.Contains(t, string(readme), "25 image-text pairs in 3 shards")
	raw, err := artifact.ReadAll(ctx, store, m.Files[4].Digest, 1<<20)
	require.NoError(t, err)
	var croissant struct {
		ConformsTo   string `json:"conformsTo"`
		Distribution []struct{ SHA256 string }
	}
	require.NoError(t, json.Unmarshal(raw, &croissant))
	require.Equal(t, "http://mlcommons.org/croissant/1.1", croissant.ConformsTo)
	require.Equal(t, m.Files[0].Digest.Hex(), croissant.Distribution[0].SHA256)
}

func TestShardsAreBoundedInBytes(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	d, err := Open(ctx, store, write(t, store, Options{Bytes: 9000}, 20), t.TempDir())
	require.NoError(t, err)
	require.Greater(t, len(d.Shards()), 3)
	for _, f := range d.Shards() {
		require.LessOrEqual(t, f.Size, int64(9000+1024)) // and the end marker
	}
}

func TestJoinKeepsTheShards(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	whole := write(t, store, Options{Name: "x", Records: 10}, 20)
	var parts []artifact.Artifact
	for k := range 2 {
		w := NewWriter(ctx, store, Options{Name: fmt.Sprint("part", k)})
		for i := range 10 {
			require.NoError(t, w.Add(pair(10*k+i)))
		}
		a, err := w.Close()
		require.NoError(t, err)
		parts = append(parts, a)
	}
	empty, err := NewWriter(ctx, store, Options{}).Close()
	require.NoError(t, err)
	joined, err := Join(ctx, store, Options{Name: "x"}, []artifact.Artifact{parts[0], empty, parts[1]})
	require.NoError(t, err)
	require.Equal(t, whole, joined)
}

func TestTheWriterRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*sample.Sample)
	}{
		{"a key with a slash", "not allowed", func(s *sample.Sample) { s.Key = "a/b" }},
		{"no key", "1 to 80", func(s *sample.Sample) { s.Key = "" }},
		{"no image", "no image", func(s *sample.Sample) { s.Image = nil }},
		{"an unknown format", "want png", func(s *sample.Sample) { s.Format = "bmp" }},
		{"a key that is there", "already", func(s *sample.Sample) { s.Key = pair(0).Key }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWriter(context.Background(), mem.New(), Options{})
			require.NoError(t, w.Add(pair(0)))
			s := pair(1)
			c.change(&s)
			require.ErrorContains(t, w.Add(s), c.want)
			_, err := w.Close()
			require.ErrorContains(t, err, c.want)
		})
	}
}

// fullStore takes no more after some bytes, as a full disk does.
type fullStore struct{ artifact.Blobs }

func (f fullStore) Put(_ context.Context, r io.Reader) (artifact.Ref, error) {
	_, err := io.CopyN(io.Discard, r, 1000)
	return artifact.Ref{}, errors.Join(err, artifact.ErrFull)
}

func TestAFullStoreIsReported(t *testing.T) {
	w := NewWriter(context.Background(), fullStore{mem.New()}, Options{})
	defer w.Discard()
	var err error
	for i := 0; err == nil && i < 100000; i++ {
		s := pair(0)
		s.Key = fmt.Sprint("k", i)
		err = w.Add(s)
	}
	require.ErrorIs(t, err, artifact.ErrFull)
}

func TestADatasetOfWrongBytesNamesTheShard(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	a := write(t, store, Options{}, 3)
	m, err := artifact.LoadManifest(ctx, store, a)
	require.NoError(t, err)
	junk, err := artifact.PutBytes(ctx, store, []byte(strings.Repeat("junk", 500)))
	require.NoError(t, err)
	for name, change := range map[string]func(*artifact.File){
		"not a tar file":           func(f *artifact.File) { f.Ref = junk },
		"another count of samples": func(f *artifact.File) { f.Records = 4 },
	} {
		t.Run(name, func(t *testing.T) {
			broken := *m
			broken.Files = append([]artifact.File(nil), m.Files...)
			change(&broken.Files[0])
			b, err := artifact.PutManifest(ctx, store, &broken)
			require.NoError(t, err)
			d, err := Open(ctx, store, b, t.TempDir())
			require.NoError(t, err)
			_, err = d.Sample(ctx, 0)
			require.ErrorContains(t, err, string(broken.Files[0].Digest))
			require.NoError(t, d.Close())
		})
	}
}

func TestIndexAgreesWithRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(path)
	require.NoError(t, err)
	n, err := WriteTar(f, func(yield func(sample.Sample, error) bool) {
		for i := range 7 {
			if !yield(pair(i), nil) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.Equal(t, 7, n)
	info, err := f.Stat()
	require.NoError(t, err)
	entries, err := Index(f, info.Size())
	require.NoError(t, err)
	_, err = f.Seek(0, io.SeekStart)
	require.NoError(t, err)
	i := 0
	for s, err := range Read(context.Background(), f, Limits{}) {
		require.NoError(t, err)
		got, err := entries[i].read(f)
		require.NoError(t, err)
		require.Equal(t, s, got)
		i++
	}
	require.Equal(t, len(entries), i)
	require.NoError(t, f.Close())
}
