package training_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/checkpoint"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/optim"
)

// pull draws a vector to the batch's target: loss = |p - target|² / 2.
type pull struct {
	b       device.Backend
	p       *graph.Param
	average *optim.EMA
	steps   int64
	loss    func(step int64, loss float64) float64
	before  func(step int64)
}

func newPull(t *testing.T) *pull {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	b := device.NewCPUOn(e, device.OpaqueHeap())
	p, err := graph.NewParam(b, "p", 3)
	require.NoError(t, err)
	p.Grad, err = device.New(b, p.Value.Desc())
	require.NoError(t, err)
	average, err := optim.NewEMA(b, []*graph.Param{p}, 0.5)
	require.NoError(t, err)
	return &pull{b: b, p: p, average: average}
}

func (o *pull) Params() []*graph.Param { return []*graph.Param{o.p} }
func (o *pull) State() []optim.Tensor  { return o.average.State() }

func (o *pull) Step(step int64, b *training.Batch) (training.Metrics, error) {
	if o.before != nil {
		o.before(step)
	}
	target, err := b.ReadFloat32s("target", 3)
	if err != nil {
		return nil, err
	}
	p, err := device.ReadFloats(o.b, o.p.Value)
	if err != nil {
		return nil, err
	}
	loss := 0.0
	for i := range p {
		p[i] -= target[i]
		loss += float64(p[i]) * float64(p[i]) / 2
	}
	if o.loss != nil {
		loss = o.loss(step, loss)
	}
	o.steps++
	return training.Metrics{training.LossKey: loss}, o.b.UploadFloats(o.p.Grad, p)
}

func (o *pull) Updated(int64) error {
	o.average.Update()
	return nil
}

func (o *pull) values(t *testing.T) []float32 {
	t.Helper()
	v, err := device.ReadFloats(o.b, o.p.Value)
	require.NoError(t, err)
	return v
}

func targets(step int64, b *training.Batch) error {
	copy(b.Float32s("target", 3), []float32{1, float32(step % 3), -1})
	return nil
}

func loopOf(o *pull, steps int64) *training.Loop {
	return &training.Loop{
		Backend: o.b, Objective: o, Batches: targets,
		Config: training.Config{
			Steps: steps, BatchSize: 1, LogSteps: 1, Digest: "a",
			Schedule: optim.Schedule{Peak: 0.1}, AdamW: optim.Options{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.01, Clip: 1},
		},
	}
}

// store keeps every checkpoint; hooks make it slow or broken.
type store struct {
	mu     sync.Mutex
	newest []byte
	steps  []int64
	all    map[int64][]byte
	before func(ctx context.Context) error
}

func (s *store) Save(ctx context.Context, step int64, write func(io.Writer) error) error {
	if s.before != nil {
		if err := s.before(ctx); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[int64][]byte{}
	}
	s.newest, s.steps = b.Bytes(), append(s.steps, step)
	s.all[step] = s.newest
	return nil
}

func (s *store) Load(_ context.Context, read func(int64, io.Reader) error) (bool, error) {
	if s.newest == nil {
		return false, nil
	}
	return true, read(0, bytes.NewReader(s.newest))
}

func TestALoopTrainsAndReports(t *testing.T) {
	o := newPull(t)
	l := loopOf(o, 200)
	l.Config.LogSteps = 50
	w := &written{}
	var progress []int64
	l.Metrics = w
	l.Progress = func(done, total int64, note string) {
		require.Equal(t, int64(200), total)
		require.Contains(t, note, "loss")
		progress = append(progress, done)
	}
	r, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Len(t, progress, 200)
	require.Equal(t, []int64{49, 99, 149, 199}, w.steps)
	require.Contains(t, w.last, "samples_per_second")
	require.NotContains(t, r.Metrics, "samples_per_second", "results depend on no clock")
	require.InDelta(t, l.Config.Schedule.Peak, w.lr[0], 0.1)
	require.InDelta(t, 1, o.values(t)[0], 0.05)
}

type written struct {
	steps []int64
	lr    []float64
	last  map[string]float64
}

func (w *written) Write(step int64, m map[string]float64) error {
	w.steps, w.lr, w.last = append(w.steps, step), append(w.lr, m["lr"]), m
	return nil
}

func TestTrainingGoesOnWhileACheckpointIsWritten(t *testing.T) {
	whole := newPull(t)
	_, err := loopOf(whole, 40).Run(context.Background())
	require.NoError(t, err)

	o, release := newPull(t), make(chan struct{})
	s := &store{before: func(context.Context) error { <-release; return nil }}
	l := loopOf(o, 40)
	l.Checkpoints, l.Config.CheckpointSteps = s, 10
	l.Progress = func(done, _ int64, _ string) {
		if done == 35 {
			close(release) // the checkpoint of step 10 has been in the writing since
		}
	}
	_, err = l.Run(context.Background())
	require.NoError(t, err)
	require.Equal(t, whole.values(t), o.values(t))
	require.Equal(t, int64(10), s.steps[0])

	early := newPull(t)
	el := loopOf(early, 40)
	stop := make(chan struct{})
	el.Stopping = stop
	es := &store{}
	el.Checkpoints = es
	el.Progress = func(done, _ int64, _ string) {
		if done == 10 {
			close(stop)
		}
	}
	_, err = el.Run(context.Background())
	require.ErrorIs(t, err, training.ErrStopped)
	require.Equal(t, es.all[10], s.all[10], "the copy is of step 10, to the byte")
}

func TestCancellationSavesFirst(t *testing.T) {
	for name, cancelDuringSave := range map[string]bool{"between checkpoints": false, "while a checkpoint is being written": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			reason := errors.New("the machine goes down")
			o := newPull(t)
			l := loopOf(o, 50)
			s := &store{}
			l.Checkpoints = s
			if cancelDuringSave {
				l.Config.CheckpointSteps = 20
				s.before = func(ctx context.Context) error {
					if ctx.Err() != nil {
						return nil // the grace after the cancellation
					}
					if _, grace := ctx.Deadline(); grace {
						return nil
					}
					cancel(reason)
					<-ctx.Done()
					return ctx.Err()
				}
			} else {
				l.Progress = func(done, _ int64, _ string) {
					if done == 20 {
						cancel(reason)
					}
				}
			}
			_, err := l.Run(ctx)
			require.ErrorIs(t, err, training.ErrStopped)
			require.ErrorIs(t, err, reason)
			require.NotEmpty(t, s.steps)
			require.Equal(t, o.steps, s.steps[len(s.steps)-1])

			resumed, whole := newPull(t), newPull(t)
			l = loopOf(resumed, 50)
			l.Checkpoints = &store{newest: s.newest}
			r, err := l.Run(context.Background())
			require.NoError(t, err)
			require.Equal(t, o.steps, r.Resumed)
			_, err = loopOf(whole, 50).Run(context.Background())
			require.NoError(t, err)
			require.Equal(t, whole.values(t), resumed.values(t))
		})
	}
}

func TestCheckpointsComeByTheClockToo(t *testing.T) {
	o := newPull(t)
	o.before = func(int64) { time.Sleep(time.Millisecond) }
	l := loopOf(o, 60)
	s := &store{}
	const every = 10 * time.Millisecond
	l.Checkpoints, l.Config.CheckpointEvery = s, every
	began := time.Now()
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	require.Greater(t, len(s.steps), 1)
	require.LessOrEqual(t, len(s.steps), int(time.Since(began)/every))
}

func TestDivergenceNamesTheStepAndWhatCameBefore(t *testing.T) {
	for name, bad := range map[string]float64{"NaN": math.NaN(), "infinite": math.Inf(1)} {
		t.Run(name, func(t *testing.T) {
			o := newPull(t)
			o.loss = func(step int64, loss float64) float64 {
				if step == 8 {
					return bad
				}
				return loss
			}
			_, err := loopOf(o, 20).Run(context.Background())
			var d *training.DivergedError
			require.ErrorAs(t, err, &d)
			require.Equal(t, int64(8), d.Step)
			require.Len(t, d.Previous, 5)
			require.Equal(t, int64(7), d.Previous[4].Step)
			require.ErrorContains(t, err, "lower the learning rate")
		})
	}
}

func TestFaultsOfTheRunSurface(t *testing.T) {
	broken := errors.New("bucket is gone")
	for name, c := range map[string]struct {
		change func(l *training.Loop)
		want   error
		text   string
	}{
		"a checkpoint that cannot be saved": {change: func(l *training.Loop) {
			l.Config.CheckpointSteps = 5
			l.Checkpoints = &store{before: func(context.Context) error { return broken }}
		}, want: broken},
		"a batch that cannot be made": {change: func(l *training.Loop) {
			l.Batches = func(step int64, b *training.Batch) error {
				if step == 3 {
					return broken
				}
				return targets(step, b)
			}
		}, want: broken, text: "batch of step 3"},
		"a panic of the batch maker": {change: func(l *training.Loop) {
			l.Batches = func(int64, *training.Batch) error { panic("shard") }
		}, text: "panic: shard"},
		"a damaged checkpoint": {change: func(l *training.Loop) { l.Checkpoints = &store{newest: []byte("abc")} }, want: checkpoint.ErrCorrupt},
		"a state that cannot be brought back": {change: func(l *training.Loop) {
			l.Config.Steps, l.Config.Spike, l.Batches, l.Backend = 60, spikes(), poisoned(47), refusing{l.Backend, broken}
		}, want: broken, text: "go back to step 40"},
		"a configuration without steps": {change: func(l *training.Loop) { l.Config.Steps, l.Config.BatchSize = 0, 0 }, text: "batch_size is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			l := loopOf(newPull(t), 20)
			c.change(l)
			_, err := l.Run(context.Background())
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.ErrorContains(t, err, c.text)
		})
	}
}

// refusing is a backend that takes no floats.
type refusing struct {
	device.Backend
	fault error
}

func (r refusing) UploadFloats(*device.Value, []float32) error { return r.fault }

func TestTheCheckpointOfAnotherConfigurationIsRefused(t *testing.T) {
	l := loopOf(newPull(t), 20)
	s := &store{}
	l.Checkpoints, l.Config.CheckpointSteps = s, 10
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	for name, change := range map[string]func(*training.Config){
		"digest": func(c *training.Config) { c.Digest = "b" }, "seed": func(c *training.Config) { c.Seed = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			l := loopOf(newPull(t), 20)
			l.Checkpoints = s
			change(&l.Config)
			_, err := l.Run(context.Background())
			require.ErrorIs(t, err, training.ErrOtherConfig)
		})
	}
}

func TestACheckpointHoldsEverything(t *testing.T) {
	l := loopOf(newPull(t), 20)
	s := &store{}
	l.Checkpoints, l.Config.CheckpointSteps = s, 10
	_, err := l.Run(context.Background())
	require.NoError(t, err)
	f, err := checkpoint.Open(bytes.NewReader(s.newest), int64(len(s.newest)))
	require.NoError(t, err)
	var names []string
	for _, i := range f.Tensors() {
		names = append(names, i.Name)
	}
	require.Equal(t, []string{"adamw.m.p", "adamw.v.p", "param.p", "state.ema.p"}, names)
	require.Equal(t, "10", f.Metadata()["tempera.step"])
}

func TestEachEpochIsAPermutationOfItsOwn(t *testing.T) {
	o, err := training.NewOrder(10, 3, 4)
	require.NoError(t, err)
	epoch := func(e int64) (rows []int) {
		for s := range o.StepsPerEpoch() {
			rows = append(rows, o.Batch(e*o.StepsPerEpoch()+s)...)
		}
		return rows
	}
	first, second := epoch(0), epoch(1)
	for _, rows := range [][]int{first, second} {
		seen := map[int]bool{}
		for _, r := range rows {
			require.False(t, seen[r])
			seen[r] = true
		}
		require.Len(t, seen, 9)
	}
	require.NotEqual(t, first, second)
	again, err := training.NewOrder(10, 3, 4)
	require.NoError(t, err)
	require.Equal(t, second[3:6], again.Batch(4), "a step's batch does not depend on the steps before it")
	_, err = training.NewOrder(2, 3, 4)
	require.ErrorContains(t, err, "2 rows does not fill a batch of 3")
}
