// Package sourcetest is the suite that every source passes. A new source joins
// it in a few lines.
package sourcetest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/infra/artifact/mem"
)

// Source is what is tested; source.Source is this interface.
type Source interface {
	Name() string
	Samples(ctx context.Context, seed uint64) iter.Seq2[sample.Sample, error]
}

// Run tests a source that has at least ten samples and no faults. Open is
// called several times and must give equal sources.
func Run(t *testing.T, open func(t *testing.T) Source) {
	ctx := context.Background()
	collect := func(t *testing.T, s Source, seed uint64) (out []sample.Sample) {
		for got, err := range s.Samples(ctx, seed) {
			require.NoError(t, err)
			out = append(out, got)
		}
		return out
	}
	t.Run("the same seed gives the same samples", func(t *testing.T) {
		first := collect(t, open(t), 7)
		require.GreaterOrEqual(t, len(first), 10)
		require.Equal(t, first, collect(t, open(t), 7))
	})
	t.Run("a source can be restarted, and left early", func(t *testing.T) {
		s := open(t)
		first := collect(t, s, 7)
		for _, err := range s.Samples(ctx, 7) {
			require.NoError(t, err)
			break
		}
		require.Equal(t, first, collect(t, s, 7))
	})
	t.Run("every sample can be stored, loaded and looked at", func(t *testing.T) {
		w := shard.NewWriter(ctx, mem.New(), shard.Options{})
		defer w.Discard()
		s := open(t)
		for _, got := range collect(t, s, 7) {
			require.NoError(t, w.Add(got)) // keys are unique and of the right form
			require.Equal(t, s.Name(), got.Facts.Source)
			require.NotEmpty(t, got.Caption)
			require.NotEmpty(t, got.Facts.Origin)
			format, err := picture.Inspect(got.Image, picture.Limits{})
			require.NoError(t, err)
			require.Equal(t, got.Format, format)
			_, err = picture.Decode(got.Image, picture.Limits{})
			require.NoError(t, err)
		}
		_, err := w.Close()
		require.NoError(t, err)
	})
	t.Run("a cancelled context ends it", func(t *testing.T) {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		var last error
		for _, err := range open(t).Samples(cancelled, 7) {
			last = err
		}
		require.True(t, errors.Is(last, context.Canceled), "%v", last)
	})
}
