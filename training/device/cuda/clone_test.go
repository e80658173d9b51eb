//go:build gpu

package cuda

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
)

func TestACloneIsWhatItsValuesWere(t *testing.T) {
	b := open(t, Mixed)
	var live []*device.Value
	var want [][]float32
	for _, n := range []int{1, 77, halfBytes/2 + 5} { // the last comes in three parts
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(math.Sin(float64(i + n)))
		}
		v, err := device.FromFloats(b, x, n)
		check(t, err)
		live, want = append(live, v), append(want, x)
	}
	c, err := b.NewClone(live)
	check(t, err)
	for range 2 { // its memory is used again
		check(t, c.Take())
		for _, v := range live {
			b.Zero(v)
		}
		for i, w := range want {
			got := make([]float32, len(w))
			check(t, c.Download(got, i))
			if !slices.Equal(got, w) {
				t.Errorf("value %d has changed with the one that it is a copy of", i)
			}
		}
		check(t, c.Restore())
		for i, v := range live {
			got, err := device.ReadFloats(b, v)
			check(t, err)
			if !slices.Equal(got, want[i]) {
				t.Errorf("value %d is not what it was", i)
			}
		}
	}
	if err := c.Download(make([]float32, 3), 1); err == nil {
		t.Error("3 elements of a value of 77 are no fault")
	}
	check(t, c.Free())
}

// checkpointSteps lie between checkpoints.
const checkpointSteps = 3

// late keeps all checkpoints. It writes one when training has gone on for a step, which then waits for it.
type late struct {
	mu    sync.Mutex
	moved *sync.Cond
	done  int64 // steps
	all   map[int64][]byte
}

func newLate() *late {
	l := &late{all: map[int64][]byte{}}
	l.moved = sync.NewCond(&l.mu)
	return l
}

func (l *late) reach(done int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = done
	l.moved.Broadcast()
	for begun := done - 1; begun > 0 && begun%checkpointSteps == 0 && l.all[begun] == nil; {
		l.moved.Wait()
	}
}

func (l *late) Save(_ context.Context, step int64, write func(io.Writer) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.done <= step {
		l.moved.Wait()
	}
	var b bytes.Buffer
	err := write(&b)
	l.all[step] = b.Bytes()
	l.moved.Broadcast()
	return err
}

func (l *late) Load(context.Context, func(int64, io.Reader) error) (bool, error) { return false, nil }

func TestCheckpointsAndAnchorsOnTheDeviceAreThoseOfTheHost(t *testing.T) {
	for name, change := range map[string]func(*training.Loop){
		"checkpoints": func(*training.Loop) {},
		"checkpoints and anchors, with a spike": func(l *training.Loop) {
			l.Config.Spike = &training.SpikeOptions{Window: 4, Factor: 0.01, Every: checkpointSteps, Skip: 1, Most: 1}
			plain := l.Batches
			l.Batches = func(step int64, b *training.Batch) error {
				err := plain(step, b)
				if step == 5 { // what no other batch teaches
					slices.Reverse(b.Int32s(objective.Targets, pairs*config(model.LM).Text.Context))
				}
				return err
			}
		},
		"the best parameters": func(l *training.Loop) {
			score := 0.0
			l.Evaluation = &training.Evaluation{Every: 2, Score: "score", KeepBest: true, Run: func(context.Context) (training.Metrics, error) {
				score++
				return training.Metrics{"score": score}, nil
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var planned training.Memory
			back := 0
			train := func(limit int64) (map[int64][]byte, []float64, string) {
				store := newLate()
				losses, digest, err := subjects()["experts"].run(t, func(l *training.Loop) {
					change(l)
					l.Config.CheckpointSteps, l.Config.MemoryLimit, l.Checkpoints = checkpointSteps, limit, store
					l.Planned = func(m training.Memory) { planned = m }
					l.Progress = func(done, _ int64, note string) {
						store.reach(done)
						back += strings.Count(note, "back to step")
					}
				})
				check(t, err)
				return store.all, losses, digest
			}
			all, losses, digest := train(0)
			if planned.Clones == 0 || planned.Declined > 0 {
				t.Fatalf("there is room for copies of the state, and the plan is %v", planned)
			}
			room := planned
			onHost, lossesOnHost, digestOnHost := train(planned.Device() - planned.Clones - planned.Ahead)
			if planned.Clones > 0 || planned.Declined != room.Clones+room.Ahead {
				t.Fatalf("there is no room for copies of the state, and the plan is %v", planned)
			}
			if !strings.Contains(planned.String(), "training waits for transfers") {
				t.Errorf("nobody is told that there is no room: %v", planned)
			}
			if spikes := name == "checkpoints and anchors, with a spike"; (back == 2) != spikes {
				t.Errorf("the two runs went back %d times", back)
			}
			if len(all) != 2 || !maps.EqualFunc(all, onHost, bytes.Equal) {
				t.Errorf("the checkpoints, of %d steps, are not those that are copied at once, of %d", len(all), len(onHost))
			}
			if !slices.Equal(losses, lossesOnHost) || digest != digestOnHost {
				t.Errorf("the losses are %v, with copies on the host %v", losses, lossesOnHost)
			}
		})
	}
}
