package token

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

func TestTokensComeBackAsTheyWere(t *testing.T) {
	for _, vocab := range []int{300, 70_000} {
		ctx, store := context.Background(), mem.New()
		w := NewWriter(store, "train", Meta{Vocab: vocab, BOS: 1, EOS: 2})
		r := rand.New(rand.NewPCG(1, 2))
		var want [][]int32
		for i := range 50 {
			ids := make([]int32, 2+r.IntN(40))
			for k := range ids {
				ids[k] = int32(r.IntN(vocab))
			}
			want = append(want, ids)
			require.NoError(t, w.Add(ctx, ids, 3*i))
			if i == 20 {
				require.NoError(t, w.flush(ctx)) // two shards
			}
		}
		require.ErrorContains(t, w.Add(ctx, []int32{1, int32(vocab)}, 1), "outside the vocabulary")
		a, err := w.Close(ctx)
		require.NoError(t, err)
		s, err := Open(ctx, store, a, t.TempDir())
		require.NoError(t, err)
		require.Equal(t, 50, s.Len())
		for i, ids := range want {
			require.Equal(t, len(ids), s.Length(i))
			require.Equal(t, 3*i, s.Bytes(i))
			got := make([]int32, len(ids)-1)
			require.NoError(t, s.Read(i, 1, got))
			require.Equal(t, ids[1:], got)
		}
		require.Error(t, s.Read(0, 0, make([]int32, 100)))
		require.NoError(t, s.Close())
	}
}

// FuzzShard: no bytes make Open panic or allocate without bound.
func FuzzShard(f *testing.F) {
	store := mem.New()
	w := NewWriter(store, "x", Meta{Vocab: 9})
	require.NoError(f, w.Add(context.Background(), []int32{1, 5, 2}, 1))
	require.NoError(f, w.flush(context.Background()))
	good, err := artifact.ReadAll(context.Background(), store, w.files[0].Digest, 1<<20)
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, store := context.Background(), mem.New()
		ref, err := store.Put(ctx, bytes.NewReader(data))
		require.NoError(t, err)
		meta, err := json.Marshal(Meta{Vocab: 9, Documents: 1})
		require.NoError(t, err)
		a, err := artifact.PutManifest(ctx, store, &artifact.Manifest{Type: artifact.TypeTokens, Files: []artifact.File{{Path: "a.tok", Ref: ref}}, Meta: meta})
		require.NoError(t, err)
		s, err := Open(ctx, store, a, t.TempDir())
		if err != nil {
			return
		}
		out := make([]int32, s.Length(0))
		if s.Read(0, 0, out) == nil {
			for _, id := range out {
				require.Less(t, id, int32(9))
			}
		}
		require.NoError(t, s.Close())
	})
}
