package training_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
)

// legOf is a leg of a run of steps whose state is in a buffer.
func legOf(o *pull, from, to, steps int64, state *bytes.Buffer) *training.Loop {
	l := loopOf(o, to)
	l.Config.Schedule.Steps = steps
	l.Carry = &training.Carry{From: from, Digest: "legs", Give: func(_ context.Context, write func(io.Writer) error) error {
		state.Reset()
		return write(state)
	}}
	if from > 0 {
		before := bytes.Clone(state.Bytes())
		l.Carry.Take = func(_ context.Context, read func(io.Reader) error) error { return read(bytes.NewReader(before)) }
	}
	return l
}

// TestLegsAreTheWholeRun: three legs, each with an objective of its own that gets
// the parameters of the one before, end with the bits of one run, also where the
// second is killed and goes on from its checkpoint.
func TestLegsAreTheWholeRun(t *testing.T) {
	whole := newPull(t)
	want, err := loopOf(whole, 30).Run(t.Context())
	require.NoError(t, err)

	var state bytes.Buffer
	var params []float32
	var applied int64
	var loss float64
	for leg := range int64(3) {
		s, killed := &store{}, false
		for {
			o := newPull(t)
			if params != nil {
				require.NoError(t, o.b.UploadFloats(o.p.Value, params))
			}
			l := legOf(o, 10*leg, 10*leg+10, 30, &state)
			l.Checkpoints, l.Config.CheckpointSteps = s, 1
			if leg == 1 && !killed {
				killed = true
				stop := make(chan struct{})
				l.Stopping = stop
				l.Progress = func(done, _ int64, _ string) {
					if done == 14 {
						close(stop)
					}
				}
				_, err := l.Run(t.Context())
				require.ErrorIs(t, err, training.ErrStopped)
				require.Contains(t, s.steps, int64(14))
				continue
			}
			r, err := l.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 10*leg+10, r.Steps)
			params = o.values(t)
			applied += r.Applied
			loss += r.Loss / 3
			break
		}
	}
	require.Equal(t, whole.values(t), params)
	require.Equal(t, want.Applied, applied)
	require.InDelta(t, want.Loss, loss, 1e-12, "the means of the legs are of their own steps")
}

func TestALegTakesTheStateOfTheStepThatItBeginsWith(t *testing.T) {
	var state bytes.Buffer
	_, err := legOf(newPull(t), 0, 10, 30, &state).Run(t.Context())
	require.NoError(t, err)

	_, err = legOf(newPull(t), 20, 30, 30, &state).Run(t.Context())
	require.ErrorIs(t, err, training.ErrOtherConfig)
	require.ErrorContains(t, err, "the state is that after step 10, the run begins with step 20")

	l := legOf(newPull(t), 10, 20, 30, &state)
	l.Carry.Digest = "another"
	_, err = l.Run(t.Context())
	require.ErrorIs(t, err, training.ErrOtherConfig)

	l = legOf(newPull(t), 10, 20, 30, &state)
	away := errors.New("the store is away")
	l.Carry.Give = func(context.Context, func(io.Writer) error) error { return away }
	_, err = l.Run(t.Context())
	require.ErrorIs(t, err, away)
}
