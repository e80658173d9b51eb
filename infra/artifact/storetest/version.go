package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

func versions(t *testing.T, s artifact.Store) {
	ctx := t.Context()
	digest := func(text string) artifact.Artifact {
		return artifact.Artifact{Type: artifact.TypeModel, Digest: artifact.DigestOf([]byte(text))}
	}
	find := func(ref string) (artifact.Version, error) {
		r, err := artifact.ParsePublished(ref)
		require.NoError(t, err)
		return artifact.FindVersion(ctx, s, r)
	}
	_, err := find("model:m@v1")
	require.ErrorContains(t, err, "no model is published yet")
	v := artifact.Version{Name: "m", Version: "v1", Artifact: digest("a"), Published: time.Unix(1, 0).UTC()}
	require.NoError(t, concurrently(8, func(i int) error {
		mine := v
		mine.By.Run = fmt.Sprint(i)
		got, err := artifact.Claim(ctx, s, mine)
		if err == nil && got.Artifact != v.Artifact {
			return fmt.Errorf("claimed for %v", got.Artifact)
		}
		return err
	}))
	_, err = find("model:m@v1")
	require.ErrorContains(t, err, "half published")
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.NoError(t, concurrently(8, func(int) error { return artifact.Complete(ctx, s, v) }))
	got, err := find("model:m@v1")
	require.NoError(t, err)
	require.Equal(t, v.Artifact, got.Artifact)

	other := v
	other.Artifact = digest("b")
	_, err = artifact.Claim(ctx, s, other)
	require.ErrorIs(t, err, artifact.ErrExists)
	require.ErrorContains(t, err, "give another version")
	other.Version, other.Published = "v2", time.Unix(2, 0).UTC()
	_, err = artifact.Claim(ctx, s, other)
	require.NoError(t, err)
	all, err := artifact.Versions(ctx, s, artifact.TypeModel, "")
	require.NoError(t, err)
	require.Equal(t, []string{"v2", "v1"}, []string{all[0].Version, all[1].Version}, "the newest first")

	set := func(alias, version string) {
		require.NoError(t, artifact.SetAlias(ctx, s, artifact.AliasChange{Model: "m", Alias: alias, To: artifact.Alias{Version: version}}))
	}
	set(artifact.Champion, "v1")
	set("lost", "v0")
	got, err = find("model:m@champion")
	require.NoError(t, err)
	require.Equal(t, "v1", got.Version)
	for ref, want := range map[string]string{
		"model:m@lost": "stands for version v0, whose folder is gone", "model:m@v3": "model m has champion, lost, v1",
		"model:n@v1": "the published models are m", "dataset:m@v1": "no dataset is published yet",
	} {
		_, err = find(ref)
		require.ErrorIs(t, err, artifact.ErrNotFound)
		require.ErrorContains(t, err, want)
	}
}
