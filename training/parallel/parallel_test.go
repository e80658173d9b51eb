package parallel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
	"tempera/training/parallel"
)

// place is where replicas run. A group is made of so many devices; one has none.
type place struct {
	name      string
	tolerance float64 // of gradients, between numbers of devices
	group     func(t *testing.T, n int) device.Group
	subjects  []string // that are tried; nil: all
}

const inFloat64 = "in float64"

func places() []place {
	return append([]place{
		{inFloat64, 1e-6, func(_ *testing.T, n int) device.Group { // what is exchanged is float32
			backends := make([]device.Backend, n)
			for i := range backends {
				backends[i] = reference.New()
			}
			return device.NewHostGroup(backends...)
		}, nil},
		{"on the CPU", 1e-5, func(t *testing.T, n int) device.Group {
			backends := make([]device.Backend, n)
			for i := range backends {
				e, err := kernel.New(kernel.Options{Threads: 1})
				require.NoError(t, err)
				t.Cleanup(e.Close)
				backends[i] = device.NewCPUOn(e, device.OpaqueHeap())
			}
			return device.NewHostGroup(backends...)
		}, nil},
	}, gpuPlaces()...)
}

// everywhere runs a test of each subject at each place.
func everywhere(t *testing.T, test func(t *testing.T, s subject, at place)) {
	for _, at := range places() {
		t.Run(at.name, func(t *testing.T) {
			for name, s := range subjects() {
				if at.subjects != nil && !slices.Contains(at.subjects, name) {
					continue
				}
				t.Run(name, func(t *testing.T) { test(t, s, at) })
			}
		})
	}
}

// made is the subject on so many devices.
func (s subject) made(t *testing.T, at place, devices int) (trained, device.Backend) {
	t.Helper()
	g := at.group(t, devices)
	if devices == 1 {
		return s.on(t, g.Backends(), nil), g.Backends()[0]
	}
	return s.on(t, g.Backends(), g), g.Backends()[0]
}

// steps are the metrics of two steps, and the gradients after the second.
func (s subject) steps(t *testing.T, at place, devices int) (metrics []training.Metrics, gradients map[string][]float32) {
	t.Helper()
	made, b := s.made(t, at, devices)
	gradients = map[string][]float32{}
	for step := range int64(2) {
		for _, p := range made.model.Params() {
			if p.Grad != nil {
				b.Zero(p.Grad)
			}
		}
		var one training.Batch
		require.NoError(t, s.batches(step, &one))
		m, err := made.objective.Step(step, &one)
		require.NoError(t, err)
		require.NoError(t, made.objective.Updated(step))
		metrics = append(metrics, m)
	}
	for _, p := range made.model.Params() {
		if p.Trained() {
			g, err := device.ReadFloats(b, p.Grad)
			require.NoError(t, err)
			gradients[p.Name] = g
		}
	}
	return metrics, gradients
}

func largest(v []float32) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(float64(x)))
	}
	return most
}

func TestDevicesChangeMetricsAndGradientsByRoundingOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, s subject, at place) {
		wantMetrics, want := s.steps(t, at, 1)
		all := 0.0
		for _, g := range want {
			all = max(all, largest(g))
		}
		for _, devices := range []int{2, 3} {
			t.Run(fmt.Sprintf("%d devices", devices), func(t *testing.T) {
				gotMetrics, got := s.steps(t, at, devices)
				for step, m := range wantMetrics {
					require.Len(t, gotMetrics[step], len(m))
					for name, v := range m {
						require.InDelta(t, v, gotMetrics[step][name], 1e-5*max(1, math.Abs(v)), name)
					}
				}
				require.Len(t, got, len(want))
				for name, w := range want {
					for i := range w {
						require.InDelta(t, w[i], got[name][i], at.tolerance*max(largest(w), 1e-2*all), "%s[%d]", name, i)
					}
				}
			})
		}
	})
}

// run trains for some steps and returns the losses and the digest of the weights.
func (s subject) run(t *testing.T, at place, devices int, change func(*training.Loop)) (losses []float64, digest string, err error) {
	t.Helper()
	made, b := s.made(t, at, devices)
	rec := &recorder{}
	l := &training.Loop{Backend: b, Objective: made.objective, Batches: s.batches, Metrics: rec, Config: training.Config{
		Steps: 6, BatchSize: batch, Seed: 3, LogSteps: 1, Digest: "test", PeakFLOPS: 1,
		Schedule: optim.Schedule{Peak: 5e-3, Warmup: 2, Floor: 0.01}, AdamW: optim.DefaultOptions(),
	}}
	if change != nil {
		change(l)
	}
	_, err = l.Run(context.Background())
	w, werr := made.model.Weights()
	require.NoError(t, werr)
	digest, werr = w.Digest()
	require.NoError(t, werr)
	return rec.losses, digest, err
}

type recorder struct{ losses []float64 }

func (r *recorder) Write(_ int64, m map[string]float64) error {
	r.losses = append(r.losses, m[training.LossKey])
	return nil
}

// kept is a checkpoint in memory.
type kept struct {
	step  int64
	bytes []byte
}

func (k *kept) Save(_ context.Context, step int64, write func(io.Writer) error) error {
	var b bytes.Buffer
	err := write(&b)
	k.step, k.bytes = step, b.Bytes()
	return err
}

func (k *kept) Load(_ context.Context, read func(int64, io.Reader) error) (bool, error) {
	if k.bytes == nil {
		return false, nil
	}
	return true, read(k.step, bytes.NewReader(k.bytes))
}

// stopped is the checkpoint of a run that is stopped after so many steps.
func (s subject) stopped(t *testing.T, at place, devices int, after int64) *kept {
	t.Helper()
	store, stop := &kept{}, make(chan struct{})
	_, _, err := s.run(t, at, devices, func(l *training.Loop) {
		l.Checkpoints, l.Stopping = store, stop
		l.Progress = func(done, _ int64, _ string) {
			if done == after {
				close(stop)
			}
		}
	})
	require.ErrorIs(t, err, training.ErrStopped)
	require.Equal(t, after, store.step)
	return store
}

func TestDevicesTrainToTheSameBitsAlsoAfterAStop(t *testing.T) {
	everywhere(t, func(t *testing.T, s subject, at place) {
		if at.name == inFloat64 {
			t.Skip("checkpoints are float32")
		}
		losses, whole, err := s.run(t, at, 2, nil)
		require.NoError(t, err)
		require.Len(t, losses, 6)
		_, again, err := s.run(t, at, 2, nil)
		require.NoError(t, err)
		require.Equal(t, whole, again, "another run has other bits")
		store := s.stopped(t, at, 2, 3)
		rest, resumed, err := s.run(t, at, 2, func(l *training.Loop) { l.Checkpoints = store })
		require.NoError(t, err)
		require.Equal(t, losses[3:], rest)
		require.Equal(t, whole, resumed, "the resumed run has other bits")
	})
}

func TestACheckpointGoesOnWithAnotherNumberOfDevices(t *testing.T) {
	for _, at := range places() {
		t.Run(at.name, func(t *testing.T) {
			s := subjects()["lm"]
			want, _, err := s.run(t, at, 1, nil)
			require.NoError(t, err)
			for _, from := range []int{1, 2} {
				to := 3 - from
				store := s.stopped(t, at, from, 3)
				got, _, err := s.run(t, at, to, func(l *training.Loop) { l.Checkpoints = store })
				require.NoError(t, err)
				require.InDeltaSlice(t, want[3:], got, 1e-3, "from %d devices to %d", from, to)
			}
		})
	}
}

func TestASpikeIsRewoundOnAllDevices(t *testing.T) {
	at, s := places()[1], subjects()["lm"]
	spiked := func(l *training.Loop) {
		l.Config.Steps = 12
		l.Config.Spike = &training.SpikeOptions{Window: 4, Factor: 1e9, Every: 4, Skip: 2, Most: 1}
		l.RateShare = func(step int64) float64 {
			if step == 6 {
				return 1e30 // the parameters are no numbers after it
			}
			return 1
		}
	}
	var rewinds []string
	watch := func(l *training.Loop) {
		spiked(l)
		l.Progress = func(_, _ int64, note string) { rewinds = append(rewinds, note) }
	}
	_, _, err := s.run(t, at, 2, watch)
	require.Error(t, err, "the rate is as wrong the second time")
	require.Contains(t, fmt.Sprint(rewinds), "back to step 4")
	require.Contains(t, rewinds[len(rewinds)-3], "loss 3.", "the replicas have the parameters of the anchor again")
}

// breaking is a replica that fails in a step.
type breaking struct {
	parallel.Replica
	fail func() error
}

func (b *breaking) Step(step int64, batch *training.Batch) (training.Metrics, error) {
	if step == 2 {
		if err := b.fail(); err != nil {
			return nil, err
		}
	}
	return b.Replica.Step(step, batch)
}

// around is a root beside it.
type around struct{ parallel.Replica }

func (a around) Gather(other training.Objective, m training.Metrics) {
	a.Replica.Gather(other.(*breaking).Replica, m)
}

// broken is a run whose second replica fails in step 2.
func broken(t *testing.T, fail func() error) error {
	t.Helper()
	s, g := subjects()["lm"], places()[1].group(t, 2)
	made := s.on(t, g.Backends(), nil)
	o, err := parallel.New(g, around{made.replicas[0]}, &breaking{made.replicas[1], fail})
	require.NoError(t, err)
	l := &training.Loop{Backend: g.Backends()[0], Objective: o, Batches: s.batches, Config: training.Config{
		Steps: 6, BatchSize: batch, Digest: "test", Schedule: optim.Schedule{Peak: 5e-3}, AdamW: optim.DefaultOptions(),
	}}
	_, err = l.Run(context.Background())
	return err
}

func TestAFailingReplicaSurfaces(t *testing.T) {
	lost := errors.New("the device is lost")
	err := broken(t, func() error { return lost })
	require.ErrorIs(t, err, lost)
	require.ErrorContains(t, err, "step 2: cpu (")
	require.Panics(t, func() { _ = broken(t, func() error { panic("a broken invariant") }) })
}

func TestWhatCannotBeDividedIsRefused(t *testing.T) {
	g := places()[1].group(t, 2)
	replicas := func(c model.Config, build func(m *model.Model) (parallel.Replica, error)) []parallel.Replica {
		var all []parallel.Replica
		for _, b := range g.Backends() {
			m, err := model.New(b, c, 7)
			require.NoError(t, err)
			r, err := build(m)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, r.Close()) })
			all = append(all, r)
		}
		return all
	}
	lm := func(parts int) []parallel.Replica {
		return replicas(config(model.LM), func(m *model.Model) (parallel.Replica, error) {
			return objective.NewLM(m, objective.Plan{Batch: batch, Accumulate: parts})
		})
	}
	for what, of := range map[string][]parallel.Replica{
		"a step of 1 micro-batches on 2 devices": lm(0),
		"a step of 3 micro-batches on 2 devices": lm(3),
		"a state of whole batches": replicas(config(model.BLIP), func(m *model.Model) (parallel.Replica, error) {
			return objective.NewBLIP(m, objective.DefaultBLIP(batch))
		}),
	} {
		_, err := parallel.New(g, of...)
		require.ErrorContains(t, err, what)
	}
	one, two := lm(2), lm(2)
	two[1].Params()[0].Frozen = true
	_, err := parallel.New(g, one[0], two[1])
	require.ErrorContains(t, err, "where the root has")
}

func TestWhatAStepNeedsIsThatOfADevice(t *testing.T) {
	made, _ := subjects()["lm"].made(t, places()[1], 2)
	o := made.objective.(*parallel.Objective)
	got, err := o.Needs(batch)
	require.NoError(t, err)
	want, err := made.replicas[0].Needs(batch)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.InEpsilon(t, made.replicas[0].StepFLOPs(), o.StepFLOPs(), 1e-12)
	require.Equal(t, 2, o.Devices())
}
