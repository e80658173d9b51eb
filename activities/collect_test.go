package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

func (l *lab) dataset(n int) artifact.Artifact {
	l.t.Helper()
	ref, err := artifact.PutBytes(l.t.Context(), l.store, make([]byte, 1024))
	require.NoError(l.t, err)
	m := &artifact.Manifest{Type: artifact.TypeDataset}
	for i := range n {
		m.Files = append(m.Files, artifact.File{Path: fmt.Sprintf("s-%06d.tar", i), Ref: ref})
	}
	a, err := artifact.PutManifest(l.t.Context(), l.store, m)
	require.NoError(l.t, err)
	return a
}

func TestMappedStagesAreCountedAndCollectedInTheOrderOfTheShards(t *testing.T) {
	l := newLab(t)
	q := l.request(`{"metrics": {"pairs": 0.1}}`)
	q.Inputs = map[string][]artifact.Artifact{"over": {l.dataset(12)}}
	n, err := l.rt.CountShards(t.Context(), stage.CountRequest{Request: q})
	require.NoError(t, err)
	require.Equal(t, 12, n.Count)
	for _, i := range []int{11, 3, 0, 9} {
		own := q
		own.Shard = &stage.Shard{Index: i, Count: 12}
		_, err := l.run(own)
		require.NoError(t, err)
	}
	n, err = l.rt.CountShards(t.Context(), stage.CountRequest{Request: q, From: 3})
	require.NoError(t, err)
	for i := range 12 {
		require.Equal(t, i == 0 || i == 6 || i == 8, n.Has(i), "shard %d", i+3)
	}
	res, err := l.rt.Collect(t.Context(), stage.CollectRequest{
		Request: q, Count: 12, Missing: []int{9}, Quarantined: []stage.Quarantine{{Item: "shard 9", Reason: "broken"}},
	})
	require.NoError(t, err)
	require.InDelta(t, 0.3, res.Metrics["pairs"], 1e-9)
	require.Len(t, res.Quarantined, 1)
	again, err := l.rt.Collect(t.Context(), stage.CollectRequest{Request: q, Count: 12})
	require.NoError(t, err)
	require.Equal(t, res.Metrics, again.Metrics, "what was committed first stays")
}

func TestADatasetWithoutShardsIsRefused(t *testing.T) {
	l := newLab(t)
	q := l.request(`{}`)
	q.Inputs = map[string][]artifact.Artifact{"over": {l.dataset(0)}}
	_, err := l.rt.CountShards(t.Context(), stage.CountRequest{Request: q})
	require.ErrorContains(t, err, "the data set is empty")
}
