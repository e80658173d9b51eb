//go:build gpu

package cuda

import (
	"slices"
	"testing"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// watched counts what is recorded.
type watched struct {
	*Backend
	recorded, replayed int
}

type watchedRecording struct {
	device.Recording
	b *watched
}

func (w *watched) Recorded() (device.Recording, error) {
	w.recorded++
	r, err := w.Backend.Recorded()
	return watchedRecording{r, w}, err
}

func (r watchedRecording) Replay() error {
	r.b.replayed++
	return r.Recording.Replay()
}

// product is a graph of x w, with a run of it.
func product(t *testing.T, b device.Backend, w *graph.Param) (run func(x []float32) []float32) {
	t.Helper()
	g, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
		y := op.Linear(g, g.Input("x", device.Float32, 8, 16), g.Param(w), nil, op.LinearOptions{})
		g.Output("y", op.Linear(g, y, g.Param(w), nil, op.LinearOptions{}))
		return nil
	})
	check(t, err)
	t.Cleanup(func() { check(t, g.Close()) })
	return func(x []float32) []float32 {
		check(t, g.Feed("x", x))
		check(t, g.Run())
		y, err := g.Read("y")
		check(t, err)
		return y
	}
}

func TestRecordedRunsSeeWhatWasWritten(t *testing.T) {
	t.Setenv(recordingOff, "")
	numbers := func(n, seed int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32((i*7+seed*3)%11) - 5
		}
		return x
	}
	b := &watched{Backend: open(t, Mixed)}
	value, err := device.FromFloats(b, numbers(256, 1), 16, 16)
	check(t, err)
	run := product(t, b, &graph.Param{Name: "w", Value: value})
	var seen [][]float32
	for i, write := range []func(){
		func() {}, func() {}, func() {},
		func() { check(t, b.UploadFloats(value, numbers(256, 2))) },
		func() { b.Scale(value, value, 0.5) },
		func() {
			g, m, v := random(t, b, value.Desc(), 4), random(t, b, value.Desc(), 5), ones(t, b.Backend, value.Desc())
			update(t, b, device.UpdateArgs{AdamW: []device.AdamWArgs{{P: value, G: g, M: m, V: v, LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}}})
		},
	} {
		write()
		plain, err := device.FromFloats(b, read(t, b, value), 16, 16)
		check(t, err)
		x := numbers(128, i)
		got, want := run(x), product(t, b, &graph.Param{Name: "w", Value: plain})(x)
		if !slices.Equal(got, want) {
			t.Fatalf("run %d is not that of what was written", i)
		}
		seen = append(seen, got)
	}
	if b.recorded != 1 || b.replayed != len(seen)-1 {
		t.Fatalf("%d runs were recorded and %d replayed", b.recorded, b.replayed)
	}
	if slices.Equal(seen[3], seen[4]) || slices.Equal(seen[4], seen[5]) {
		t.Fatal("nothing was written")
	}
}

func TestTrainingIsTheSameWithoutRecordings(t *testing.T) {
	for _, name := range []string{"gpt in parts, layers repeated", "llama by preferences", "experts", "clip"} {
		s, ok := subjects()[name]
		if !ok {
			t.Fatalf("there is no subject %s", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Setenv(recordingOff, "")
			recorded, digest, err := s.run(t, func(*training.Loop) {})
			check(t, err)
			t.Setenv(recordingOff, "1")
			plain, same, err := s.run(t, func(*training.Loop) {})
			check(t, err)
			if !slices.Equal(recorded, plain) || digest != same {
				t.Errorf("recorded, the losses are %v; else %v", recorded, plain)
			}
		})
	}
}

func TestAWaitWithinARecordingIsAnError(t *testing.T) {
	b := open(t, Full)
	x := random(t, b, device.Floats(8), 1)
	check(t, b.Record())
	_, waited := device.ReadFloats(b, x)
	_, err := b.Recorded()
	if waited == nil || err == nil {
		t.Fatalf("the wait: %v, the recording: %v", waited, err)
	}
	check(t, b.Sync())
	read(t, b, x) // the stream is of use again
}
