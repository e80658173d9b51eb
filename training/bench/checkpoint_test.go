package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/model"
)

func tiny() Options {
	o := Defaults()
	o.Layers, o.Dim, o.Heads, o.FF, o.Batch, o.Seq, o.Image, o.Threads, o.Steps, o.Warmup = 1, 16, 2, 32, 2, 8, 16, 1, 6, 1
	return o
}

func TestCheckpointsAreCountedAndATrainingResumesFromThem(t *testing.T) {
	o := CheckpointOptions{Options: tiny(), Every: 2, Folder: t.TempDir()}
	r, err := Checkpoint(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, r.Checkpoints)
	require.LessOrEqual(t, r.Checkpoints, 3, "after steps 2, 4 and 6 of 7, unless the one before is still being written")
	require.Greater(t, r.StateBytes, 3*4*r.Params, "weights and two moments")
	at, err := Resume(t.Context(), o)
	require.NoError(t, err)
	require.True(t, at.End.After(at.Begin))
}

func TestLoadMeasuresTheBatchesThatItIsGiven(t *testing.T) {
	o := tiny()
	o.Model = "clip"
	filled := 0
	r, err := Load(t.Context(), o, func(c model.Config) (training.Batches, error) {
		data := o.batch(c)
		return func(_ int64, b *training.Batch) error {
			filled++
			*b = *data
			return nil
		}, nil
	})
	require.NoError(t, err)
	require.Equal(t, 7, filled)
	require.Positive(t, r.StepMS)
	require.Less(t, r.Stall, 1.0)
}
