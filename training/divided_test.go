package training_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
)

// rounds is pull in iterations: the first step of one measures how far the parameter is from the target, and all of them move it by that.
type rounds struct {
	*pull
	length int64
	away   []float32 // what the iteration began with; kept nowhere else
	fail   func(step int64) error
}

func newRounds(t *testing.T, length int64) *rounds {
	return &rounds{pull: newPull(t), length: length}
}

func (o *rounds) Whole(done int64) bool { return done%o.length == 0 }

func (o *rounds) Step(step int64, b *training.Batch) (training.Metrics, error) {
	if o.fail != nil {
		if err := o.fail(step); err != nil {
			return training.Metrics{training.LossKey: 0}, err
		}
	}
	if step%o.length == 0 {
		v, err := device.ReadFloats(o.b, o.p.Value)
		if err != nil {
			return nil, err
		}
		o.away = v
	}
	if o.away == nil {
		return nil, fmt.Errorf("step %d comes without the beginning of its iteration", step)
	}
	m, err := o.pull.Step(step, b)
	if err != nil {
		return nil, err
	}
	g, err := device.ReadFloats(o.b, o.p.Grad)
	if err != nil {
		return nil, err
	}
	for i := range g {
		g[i] += o.away[i] // what is not whole is not a function of the parameter now
	}
	return m, o.b.UploadFloats(o.p.Grad, g)
}

func roundsLoop(o *rounds, steps int64) *training.Loop {
	l := loopOf(o.pull, steps)
	l.Objective = o
	return l
}

// wholeRounds is an uninterrupted run.
func wholeRounds(t *testing.T, length, steps int64) []float32 {
	o := newRounds(t, length)
	_, err := roundsLoop(o, steps).Run(context.Background())
	require.NoError(t, err)
	return o.values(t)
}

func TestARunThatStopsWithinAnIterationBeginsItAgain(t *testing.T) {
	const length, steps = 3, 12
	want := wholeRounds(t, length, steps)
	for at := range int64(steps) {
		for _, how := range []string{"stopping", "cancelled", "killed"} {
			t.Run(fmt.Sprintf("%s after step %d", how, at), func(t *testing.T) {
				s := &store{}
				o := newRounds(t, length)
				l := roundsLoop(o, steps)
				l.Checkpoints = s
				stop := make(chan struct{})
				l.Stopping = stop
				ctx, cancel := context.WithCancelCause(context.Background())
				killed := errors.New("killed")
				l.Progress = func(done, _ int64, _ string) {
					switch {
					case done != at:
					case how == "stopping":
						close(stop)
					case how == "cancelled":
						cancel(errors.New("the machine goes down"))
					}
				}
				if how == "killed" {
					l.Config.CheckpointSteps = 1
					o.fail = func(step int64) error {
						if step == at {
							return killed
						}
						return nil
					}
				} else if at == 0 {
					close(stop)
				}
				_, err := l.Run(ctx)
				if how == "killed" {
					require.ErrorIs(t, err, killed)
				} else {
					require.ErrorIs(t, err, training.ErrStopped)
				}
				for _, step := range s.steps {
					require.Zero(t, step%length, "a checkpoint is of whole iterations")
				}

				again := newRounds(t, length)
				l = roundsLoop(again, steps)
				l.Checkpoints = s
				r, err := l.Run(context.Background())
				require.NoError(t, err)
				require.Zero(t, r.Resumed%length)
				require.LessOrEqual(t, r.Resumed, at)
				require.Equal(t, want, again.values(t))
			})
		}
	}
}

func TestAStepThatIsCutOffIsDoneAgain(t *testing.T) {
	const length, steps = 3, 9
	s, o := &store{}, newRounds(t, length)
	l := roundsLoop(o, steps)
	l.Checkpoints = s
	ctx, cancel := context.WithCancelCause(context.Background())
	down := errors.New("the machine goes down")
	o.fail = func(step int64) error {
		if step != 4 {
			return nil
		}
		cancel(down)
		return fmt.Errorf("sample: %w", context.Cause(ctx))
	}
	_, err := l.Run(ctx)
	require.ErrorIs(t, err, training.ErrStopped)
	require.Equal(t, []int64{3}, s.steps)

	again := newRounds(t, length)
	l = roundsLoop(again, steps)
	l.Checkpoints = s
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, wholeRounds(t, length, steps), again.values(t))
}

// explodes fails at some executions of a step.
func explodes(at int64, times int) func(int64) error {
	return func(step int64) error {
		if step != at || times == 0 {
			return nil
		}
		times--
		return fmt.Errorf("iteration 1: %w", &training.ExplodedError{What: "kl", Value: 30, Limit: 10})
	}
}

func TestAnExplosionHalvesTheRateOnce(t *testing.T) {
	const length, steps = 3, 12
	o := newRounds(t, length)
	o.fail = explodes(4, 1)
	l := roundsLoop(o, steps)
	w := &written{}
	l.Metrics = w
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, &training.Retreat{Step: 4, What: "kl", Value: 30, Limit: 10, To: 3}, r.Retreat)
	plain := &written{}
	l = roundsLoop(newRounds(t, length), steps)
	l.Metrics = plain
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.InDelta(t, plain.lr[steps-1]/2, w.lr[len(w.lr)-1], 1e-12)

	// What follows a retreat does not depend on when the run was stopped.
	for _, at := range []int64{3, 5, 8, 10} {
		s := &store{}
		stopped := newRounds(t, length)
		stopped.fail = explodes(4, 1)
		l := roundsLoop(stopped, steps)
		l.Checkpoints = s
		stop, seen := make(chan struct{}), false
		l.Stopping = stop
		l.Progress = func(done, _ int64, _ string) {
			if done == at && !seen {
				seen = true
				close(stop)
			}
		}
		_, err := l.Run(context.Background())
		require.ErrorIs(t, err, training.ErrStopped)
		again := newRounds(t, length)
		if at == 3 {
			again.fail = explodes(4, 1) // it is a function of the parameters
		}
		l = roundsLoop(again, steps)
		l.Checkpoints = s
		r, err := l.Run(context.Background())
		require.NoError(t, err)
		require.NotNil(t, r.Retreat)
		require.Equal(t, o.values(t), again.values(t), "stopped after step %d", at)
	}
}

func TestASecondExplosionEndsTheRun(t *testing.T) {
	o := newRounds(t, 3)
	o.fail = explodes(4, 2)
	_, err := roundsLoop(o, 12).Run(context.Background())
	var e *training.ExplodedError
	require.ErrorAs(t, err, &e)
	require.ErrorContains(t, err, "step 4")
	require.ErrorContains(t, err, "back to step 3 with half the learning rate")
	require.ErrorContains(t, err, "lower learning_rate")
}

// guarded is rounds that look, before an iteration, at how far the parameter is from 0, where it began.
type guarded struct {
	*rounds
	limit  float64
	opened []int64
}

func (o *guarded) Guards() bool { return o.limit > 0 }

func (o *guarded) Open(step int64) error {
	o.opened = append(o.opened, step)
	v, err := device.ReadFloats(o.b, o.p.Value)
	if err != nil {
		return err
	}
	if away := math.Abs(float64(v[0])); away > o.limit {
		return fmt.Errorf("iteration: %w", &training.ExplodedError{What: "distance", Value: away, Limit: o.limit})
	}
	return nil
}

func TestAnIterationThatWentTooFarIsDoneAgain(t *testing.T) {
	const length, steps = 3, 12
	guard := func(limit float64) (*guarded, *training.Loop) {
		o := &guarded{rounds: newRounds(t, length), limit: limit}
		l := roundsLoop(o.rounds, steps)
		l.Objective = o
		return o, l
	}
	away := func(o *guarded) float64 { return math.Abs(float64(o.values(t)[0])) }
	free, l := guard(1e9)
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, []int64{0, 3, 6, 9}, free.opened)

	limit := 0.8 * away(free) // passed in the second of four iterations
	o, l := guard(limit)
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.NotNil(t, r.Retreat)
	require.Equal(t, r.Retreat.Step-length, r.Retreat.To, "back to where the iteration before began")

	for at := int64(1); at < steps; at++ { // what follows does not depend on when the run was stopped
		s := &store{}
		_, l := guard(limit)
		l.Checkpoints = s
		stop, seen := make(chan struct{}), false
		l.Stopping = stop
		l.Progress = func(done, _ int64, _ string) {
			if done == at && !seen {
				seen = true
				close(stop)
			}
		}
		_, err := l.Run(context.Background())
		require.ErrorIs(t, err, training.ErrStopped)
		again, l := guard(limit)
		l.Checkpoints = s
		_, err = l.Run(context.Background())
		require.NoError(t, err)
		require.Equal(t, o.values(t), again.values(t), "stopped after step %d", at)
	}

	_, l = guard(0.1 * away(free))
	_, err = l.Run(context.Background())
	require.ErrorContains(t, err, "with half the learning rate: lower learning_rate")
}

func TestAnIdleStepMovesNothing(t *testing.T) {
	o, w := newRounds(t, 1), &written{}
	o.fail = func(step int64) error {
		if step > 4 {
			return training.ErrIdle
		}
		return nil
	}
	l := roundsLoop(o, 10)
	l.Metrics = w
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	five := newRounds(t, 1)
	l = roundsLoop(five, 5)
	l.Config.Schedule.Steps = 10
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, five.values(t), o.values(t))
	require.Len(t, w.steps, 10, "it is reported all the same")
}

func TestTheLastStateIsHandedOver(t *testing.T) {
	want := wholeRounds(t, 3, 12)
	first, s := newRounds(t, 3), &store{}
	l := roundsLoop(first, 6)
	l.Config.Schedule.Steps = 12
	l.Final = func(ctx context.Context, write func(io.Writer) error) error { return s.Save(ctx, 6, write) }
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	second := newRounds(t, 3)
	l = roundsLoop(second, 12)
	l.Checkpoints = s
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, int64(6), r.Resumed)
	require.Equal(t, want, second.values(t))
}
