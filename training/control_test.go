package training_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
)

// poisoned are targets of which some batches are far off.
func poisoned(bad ...int64) training.Batches {
	return func(step int64, b *training.Batch) error {
		if err := targets(step, b); err != nil {
			return err
		}
		for _, s := range bad {
			if s == step {
				v, err := b.ReadFloat32s("target", 3)
				if err != nil {
					return err
				}
				v[0] = 1e4
			}
		}
		return nil
	}
}

func spikes() *training.SpikeOptions {
	return &training.SpikeOptions{Window: 16, Factor: 20, Every: 10, Skip: 4, Most: 3}
}

// distance is an evaluation: how far the parameters are from a target that only
// the steps up to half way lead to.
func distance(o *pull) *training.Evaluation {
	return &training.Evaluation{
		Every: 7, Score: "distance", LowerWins: true,
		Run: func(context.Context) (training.Metrics, error) {
			p, err := device.ReadFloats(o.b, o.p.Value)
			if err != nil {
				return nil, err
			}
			return training.Metrics{"distance": math.Abs(float64(p[0]) - 0.5)}, nil
		},
	}
}

func TestASpikeLeadsBackToTheAnchorAndItsBatchesAreLeftOut(t *testing.T) {
	o := newPull(t)
	l := loopOf(o, 120)
	l.Batches, l.Config.Spike = poisoned(47, 83), spikes()
	w := &written{}
	l.Metrics = w
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Len(t, r.Rewinds, 2)
	first := r.Rewinds[0]
	require.Equal(t, []int64{47, 40, 45, 48}, []int64{first.Step, first.To, first.First, first.Last})
	require.Contains(t, first.String(), "back to step 40 without batches 45 to 48")
	second := r.Rewinds[1]
	require.Equal(t, []int64{79, 70, 81, 84}, []int64{second.Step, second.To, second.First, second.Last}, "batch 83 is seen four steps earlier")
	require.Equal(t, 2.0, w.last["rewinds"])
	require.Equal(t, int64(120), r.Steps)

	spared := newPull(t) // the same run on data without those batches
	l = loopOf(spared, 120)
	l.Batches = func(step int64, b *training.Batch) error {
		for _, hole := range []int64{45, 81} {
			if step >= hole {
				step += 4
			}
		}
		return targets(step, b)
	}
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, spared.values(t), o.values(t))
}

func TestSpikesAreLetThroughWhenNoRewindIsLeft(t *testing.T) {
	o := newPull(t)
	l := loopOf(o, 100)
	l.Config.Spike = spikes()
	l.Config.Spike.Most, l.Config.Spike.Skip = 1, 1
	l.Batches = poisoned(35, 61)
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Len(t, r.Rewinds, 1)
}

// TestDecisionsSurviveKills: a run with spikes, an evaluation and kept parameters
// is stopped or killed at random steps, and ends with the bits and decisions of
// the undisturbed one.
func TestDecisionsSurviveKills(t *testing.T) {
	killed := errors.New("killed")
	run := func(o *pull, change func(*training.Loop)) (training.Result, error) {
		l := loopOf(o, 120)
		l.Batches, l.Config.Spike = poisoned(47, 83), spikes()
		l.Evaluation = distance(o)
		l.Evaluation.KeepBest = true
		l.Config.CheckpointSteps = 10
		if change != nil {
			change(l)
		}
		return l.Run(context.Background())
	}
	whole := newPull(t)
	want, err := run(whole, nil)
	require.NoError(t, err)
	require.Len(t, want.Rewinds, 2)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		at, gently := random.Int64N(119)+1, random.IntN(2) == 0
		t.Run(fmt.Sprintf("step %d, asked %v", at, gently), func(t *testing.T) {
			s, o := &store{}, newPull(t)
			_, err := run(o, func(l *training.Loop) {
				l.Checkpoints = s
				if gently {
					stop := make(chan struct{})
					l.Stopping = stop
					l.Progress = func(done, _ int64, _ string) {
						if done == at && o.steps >= at {
							defer func() { _ = recover() }() // it passes here again after a rewind
							close(stop)
						}
					}
					return
				}
				fill := l.Batches
				o.loss = func(step int64, loss float64) float64 { return loss }
				l.Batches = func(step int64, b *training.Batch) error {
					if step == at {
						return killed
					}
					return fill(step, b)
				}
			})
			if err == nil {
				return // the batch at which it was to be killed was left out
			}
			again := newPull(t)
			got, err := run(again, func(l *training.Loop) { l.Checkpoints = &store{newest: s.newest} })
			require.NoError(t, err)
			got.Resumed = want.Resumed
			require.Equal(t, want, got)
			require.Equal(t, whole.values(t), again.values(t))
		})
	}
}

func TestTheBestParametersAreKeptAndImpatienceEndsTheRun(t *testing.T) {
	o := newPull(t)
	l := loopOf(o, 300)
	l.Evaluation = distance(o)
	l.Evaluation.Patience, l.Evaluation.KeepBest = 3, true
	w := &rows{}
	l.Metrics = w
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.True(t, r.Early)
	require.Equal(t, r.BestStep+3*7, r.Steps)
	require.Less(t, r.Best["distance"], r.Latest["distance"])
	require.InDelta(t, r.Best["distance"], math.Abs(float64(o.values(t)[0])-0.5), 1e-9, "the parameters are those of the best evaluation")
	require.Contains(t, w.at[r.BestStep-1], "distance")
	require.Contains(t, w.at[r.BestStep-1], "loss", "the evaluation stands beside the step's own metrics")
	require.NotContains(t, w.at[r.BestStep], "distance")

	last := newPull(t)
	l = loopOf(last, int64(r.Steps))
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.NotEqual(t, last.values(t), o.values(t))
}

type rows struct{ at map[int64]training.Metrics }

func (r *rows) Write(step int64, m map[string]float64) error {
	if r.at == nil {
		r.at = map[int64]training.Metrics{}
	}
	copied := training.Metrics{}
	for k, v := range m {
		copied[k] = v
	}
	r.at[step] = copied
	return nil
}

func TestABudgetOfTimeBecomesStepsThatACheckpointKeeps(t *testing.T) {
	o, s := newPull(t), &store{}
	l := loopOf(o, 0)
	l.Config.Minutes, l.Config.Schedule.Warmup, l.Checkpoints = 0.005, 3, s
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Greater(t, r.Steps, int64(25))
	require.NotEmpty(t, s.steps)

	again := newPull(t)
	l = loopOf(again, 0)
	l.Config.Minutes, l.Config.Schedule.Warmup, l.Checkpoints = 0.005, 3, &store{newest: s.all[s.steps[0]]}
	resumed, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, s.steps[0], resumed.Resumed)
	require.Equal(t, r.Steps, resumed.Steps)
	require.Equal(t, o.values(t), again.values(t))
}

func TestNumbersThatAreNone(t *testing.T) {
	poison := func(from, to int64) training.Batches {
		return func(step int64, b *training.Batch) error {
			if err := targets(step, b); err != nil {
				return err
			}
			if step >= from && step < to {
				b.Float32s("target", 3)[1] = float32(math.NaN())
			}
			return nil
		}
	}
	t.Run("in data are an error that names the batch", func(t *testing.T) {
		l := loopOf(newPull(t), 20)
		l.Batches = poison(7, 8)
		_, err := l.Run(context.Background())
		var bad *training.DataError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, int64(7), bad.Batch)
		require.ErrorContains(t, err, `infinity in "target"`)
	})
	t.Run("are left out where that is wanted", func(t *testing.T) {
		o := newPull(t)
		l := loopOf(o, 20)
		l.Batches, l.Config.DropNotFinite = poison(7, 9), true
		r, err := l.Run(context.Background())
		require.NoError(t, err)
		require.Equal(t, int64(2), r.Dropped)
		require.False(t, math.IsNaN(float64(o.values(t)[1])))
	})
	t.Run("but not for long", func(t *testing.T) {
		l := loopOf(newPull(t), 40)
		l.Batches, l.Config.DropNotFinite = poison(7, 30), true
		_, err := l.Run(context.Background())
		var d *training.DivergedError
		require.ErrorAs(t, err, &d)
		require.Equal(t, int64(17), d.Step)
	})
	t.Run("are a spike where these are rewound", func(t *testing.T) {
		o := newPull(t)
		l := loopOf(o, 60)
		l.Batches, l.Config.Spike = poison(35, 36), spikes()
		r, err := l.Run(context.Background())
		require.NoError(t, err)
		require.Len(t, r.Rewinds, 1)
		require.Contains(t, r.Rewinds[0].String(), "loss was no number at step 35: back to step 30")
	})
}

func TestWrongConfigurationsAreToldInFull(t *testing.T) {
	l := loopOf(newPull(t), 20)
	l.Config.Minutes = 3
	l.Config.Spike = &training.SpikeOptions{Window: 1, Factor: math.NaN()}
	l.Evaluation = &training.Evaluation{Patience: -1, KeepBest: true}
	_, err := l.Run(context.Background())
	for _, want := range []string{
		"minutes is 3 and steps is 20", "spike.window is 1", "spike.factor is NaN", "spike.every is 0", "spike.skip is 0", "spike.most is 0",
		"evaluation is every 0 steps", "patience is -1", "need a score",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestTheRateOfAStepCanBeScaled(t *testing.T) {
	l := loopOf(newPull(t), 20)
	l.RateShare = func(step int64) float64 { return float64(step) }
	w := &written{}
	l.Metrics = w
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, 0.0, w.lr[0])
	whole := l.Config.Schedule
	whole.Steps = 20
	require.InDelta(t, 10*whole.At(10), w.lr[10], 1e-12)
}

func TestNotesOfABatchAreMetricsOfItsStepAlone(t *testing.T) {
	l := loopOf(newPull(t), 6)
	l.Batches = func(step int64, b *training.Batch) error {
		if step < 4 {
			b.Note(training.TokensKey, 100)
		}
		return targets(step, b)
	}
	w := &rows{}
	l.Metrics = w
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, 100.0, w.at[3]["tokens"])
	require.Contains(t, w.at[3], "tokens_per_second")
	require.NotContains(t, w.at[5], "tokens")
	require.Contains(t, w.at[5], "memory_mib")
}
