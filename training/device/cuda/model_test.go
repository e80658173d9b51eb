//go:build gpu

package cuda

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/optim"
)

// made is a model on a backend, with its objective.
func (s subject) made(t *testing.T, b device.Backend) (*model.Model, training.Objective) {
	t.Helper()
	m, err := model.New(b, s.config, 7)
	check(t, err)
	o, err := s.objective(m)
	check(t, err)
	t.Cleanup(func() { check(t, o.(io.Closer).Close()) })
	return m, o
}

// step is the loss of one batch and the gradients of all parameters.
func (s subject) step(t *testing.T, b device.Backend) (float64, map[string][]float32) {
	t.Helper()
	m, o := s.made(t, b)
	batch := &training.Batch{}
	check(t, s.batches(1)(0, batch))
	metrics, err := o.Step(0, batch)
	check(t, err)
	gradients := map[string][]float32{}
	for _, p := range m.Params() {
		if p.Grad != nil {
			g, err := device.ReadFloats(b, p.Grad)
			check(t, err)
			gradients[p.Name] = g
		}
	}
	return metrics[training.LossKey], gradients
}

func cpu(t *testing.T) device.Backend {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	check(t, err)
	t.Cleanup(e.Close)
	return device.NewCPU(e)
}

// away is how far g is from w, by the length of w; of gradients that are nearly nothing, by that of all.
func away(g, w []float32, all float64) float64 {
	var d, n float64
	for i := range w {
		d += (float64(g[i]) - float64(w[i])) * (float64(g[i]) - float64(w[i]))
		n += float64(w[i]) * float64(w[i])
	}
	return math.Sqrt(d) / max(math.Sqrt(n), all/20)
}

func TestModelsLearnWhatTheyLearnOnTheCPU(t *testing.T) {
	tolerances := map[Precision]struct{ loss, gradient float64 }{Full: {1e-5, 1e-4}, TF32: {2e-3, 1e-2}, Mixed: {0.01, 0.05}}
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) {
			wantLoss, want := s.step(t, cpu(t))
			var squares float64
			for _, w := range want {
				for _, x := range w {
					squares += float64(x) * float64(x)
				}
			}
			for precision, tolerance := range tolerances {
				t.Run(string(precision), func(t *testing.T) {
					loss, got := s.step(t, open(t, precision))
					if d := math.Abs(loss-wantLoss) / wantLoss; !(d <= tolerance.loss) {
						t.Errorf("the loss is %v, the CPU's %v", loss, wantLoss)
					}
					if len(got) != len(want) {
						t.Fatalf("%d parameters have a gradient, on the CPU %d", len(got), len(want))
					}
					most := 0.0
					for p, w := range want {
						d := away(got[p], w, math.Sqrt(squares))
						if most = max(most, d); !(d <= tolerance.gradient) {
							t.Errorf("the gradient of %s is off by %.4f of its length", p, d)
						}
					}
					t.Logf("the loss is off by %.1e, the worst gradient by %.1e", math.Abs(loss-wantLoss)/wantLoss, most)
				})
			}
		})
	}
}

// run trains in bf16 on a few batches and returns the losses of the steps and the weights.
func (s subject) run(t *testing.T, change func(*training.Loop)) ([]float64, string, error) {
	t.Helper()
	b := open(t, Mixed)
	m, o := s.made(t, b)
	l := &losses{}
	loop := &training.Loop{Backend: b, Objective: o, Batches: s.batches(2), Metrics: l, Config: training.Config{
		Steps: 8, BatchSize: pairs, Seed: 3, LogSteps: 1, Digest: "test", PeakFLOPS: 1,
		Schedule: optim.Schedule{Peak: 5e-3, Warmup: 2, Floor: 0.01}, AdamW: optim.DefaultOptions(),
	}}
	change(loop)
	_, err := loop.Run(context.Background())
	w, werr := m.Weights()
	check(t, werr)
	digest, werr := w.Digest()
	check(t, werr)
	return l.values, digest, err
}

type losses struct{ values []float64 }

func (l *losses) Write(_ int64, m map[string]float64) error {
	l.values = append(l.values, m[training.LossKey])
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

func TestTrainingLowersTheLossAndGoesOnAfterAStopToTheBit(t *testing.T) {
	for name, s := range subjects() {
		t.Run(name, func(t *testing.T) {
			whole, digest, err := s.run(t, func(*training.Loop) {})
			check(t, err)
			if first, last := whole[0]+whole[1], whole[6]+whole[7]; !(last < first) {
				t.Errorf("the losses are %v", whole)
			}
			store, stop := &kept{}, make(chan struct{})
			_, _, err = s.run(t, func(l *training.Loop) {
				l.Checkpoints, l.Stopping = store, stop
				l.Progress = func(done, _ int64, _ string) {
					if done == 3 {
						close(stop)
					}
				}
			})
			if !errors.Is(err, training.ErrStopped) || store.step != 3 {
				t.Fatalf("stopped after step %d: %v", store.step, err)
			}
			rest, again, err := s.run(t, func(l *training.Loop) { l.Checkpoints = store })
			check(t, err)
			if !slices.Equal(rest, whole[3:]) || again != digest {
				t.Errorf("resumed after step 3, the losses are %v; uninterrupted, they are %v", rest, whole[3:])
			}
		})
	}
}
