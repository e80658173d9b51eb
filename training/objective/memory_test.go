package objective_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
)

// weighed names the shape that a process of TestThePredictedMemoryIsWhatAProcessTakes trains.
const weighed = "TEMPERA_TEST_WEIGHED"

// shape is a training whose memory is weighed.
type shape struct {
	kind  model.Kind
	width int
	plan  objective.Plan
	// whole has all that keeps copies: Muon, an anchor for spikes, the best parameters.
	whole bool
}

// weighedShapes are trainings of some hundred MiB, so that what the process needs besides counts little, of few operations for their size.
func weighedShapes() map[string]shape {
	return map[string]shape{
		"lm, most of it parameters": {kind: model.LM, width: 512, plan: objective.Plan{Batch: 4}},
		"lm, with copies":           {kind: model.LM, width: 512, plan: objective.Plan{Batch: 4}, whole: true},
		"lm, layers again":          {kind: model.LM, width: 64, plan: objective.Plan{Batch: 160, Checkpoint: true, Lengths: []int{64}}},
		"clip":                      {kind: model.CLIP, width: 64, plan: objective.Plan{Batch: 64}},
		"clip in parts":             {kind: model.CLIP, width: 64, plan: objective.Plan{Batch: 192, Accumulate: 3}},
		"blip in buckets":           {kind: model.BLIP, width: 64, plan: objective.Plan{Batch: 16, Lengths: []int{32, 64}}},
		"vlm":                       {kind: model.VLM, width: 64, plan: objective.Plan{Batch: 64, Lengths: []int{96}}},
	}
}

func TestThePredictedMemoryIsWhatAProcessTakes(t *testing.T) {
	if name := os.Getenv(weighed); name != "" {
		weigh(t, name)
		return
	}
	if testing.Short() {
		t.Skip("trains half a minute")
	}
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skip("the peak of a process is read from /proc")
	}
	for name := range weighedShapes() {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$", "-test.v")
			c.Env = append(os.Environ(), weighed+"="+name)
			out, err := c.CombinedOutput()
			require.NoError(t, err, string(out))
			var predicted, measured int64
			at := strings.Index(string(out), "weighed ")
			require.Positive(t, at, string(out))
			_, err = fmt.Sscanf(string(out)[at:], "weighed %d %d", &predicted, &measured)
			require.NoError(t, err)
			t.Logf("predicted %.1f MiB, measured %.1f MiB; %s", float64(predicted)/(1<<20), float64(measured)/(1<<20), out)
			require.InEpsilon(t, measured, predicted, 0.1)
		})
	}
}

func TestARunThatNeedsTooMuchNamesTheBatchToUse(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			var whole, half training.Memory
			_, _, err := train(t, s, 1, func(l *training.Loop) { l.Planned = func(m training.Memory) { whole = m } })
			require.NoError(t, err)
			_, _, err = train(t, s, 1, func(l *training.Loop) {
				l.Config.BatchSize = batch / 2 // what is predicted, not what is trained
				l.Planned = func(m training.Memory) { half = m }
			})
			require.NoError(t, err)
			require.Less(t, half.Total(), whole.Total())

			for limit, fits := range map[int64]int{whole.Total(): batch, whole.Total() - 1: batch / 2, half.Total(): batch / 2, 1: 0} {
				var planned training.Memory
				m, _, err := train(t, s, 1, func(l *training.Loop) {
					l.Config.MemoryLimit = limit
					l.Planned = func(m training.Memory) { planned = m }
				})
				require.Equal(t, whole, planned)
				if fits == batch {
					require.NoError(t, err)
					continue
				}
				var e *training.MemoryError
				require.ErrorAs(t, err, &e)
				require.Equal(t, fits, e.Fits)
				if fits > 0 {
					require.ErrorContains(t, err, "use a batch of 3 (")
				} else {
					require.ErrorContains(t, err, "no smaller batch fits")
				}
				for _, p := range m.Params() {
					require.Nil(t, p.Grad, "%s has a gradient: memory was allocated", p.Name)
				}
			}
		})
	}
}

// weigh trains a few steps, with a checkpoint, and prints the peak that was predicted and the one that was reached.
func weigh(t *testing.T, name string) {
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // the peak starts from here
	before := peak(t)
	r, err := weighedShapes()[name].train(t, newCPU(t, 1), func(*training.Loop) {})
	require.NoError(t, err)
	fmt.Println("weighed", r.Memory.Total(), peak(t)-before)
	fmt.Println(r.Memory)
}

// train does two steps, with a checkpoint of each.
func (shape shape) train(t *testing.T, b device.Backend, change func(*training.Loop)) (training.Result, error) {
	c := model.Config{Kind: shape.kind, Width: shape.width, Text: model.Text{Vocab: 2000, Context: 128, Layers: 4}}
	if shape.kind != model.LM {
		c.Vision = model.Vision{Image: 64, Patch: 8, Layers: 4}
	}
	if shape.kind == model.VLM {
		c.Projector.Merge, c.Text.Special.Image = 8, 1999 // one token for an image, as randomRows has
	}
	m, err := model.New(b, c, 1)
	require.NoError(t, err)
	debug.FreeOSMemory() // what initial values leave
	var o training.Objective
	switch shape.kind {
	case model.LM:
		o, err = objective.NewLM(m, shape.plan)
	case model.CLIP:
		o, err = objective.NewCLIP(m, shape.plan)
	case model.VLM:
		o, err = objective.NewVLM(m, objective.VLMOptions{Plan: shape.plan})
	default:
		blip := objective.DefaultBLIP(shape.plan.Batch)
		blip.Plan = shape.plan
		o, err = objective.NewBLIP(m, blip)
	}
	require.NoError(t, err)
	l := &training.Loop{
		Config: config(2), Backend: b, Objective: o, Checkpoints: discard{},
		Batches: randomRows(m.Config, shape.plan.Batch, 3),
	}
	l.Config.BatchSize, l.Config.CheckpointSteps, l.Config.Schedule.Warmup = shape.plan.Batch, 1, 0
	if shape.whole {
		spikes := training.DefaultSpikes()
		spikes.Every = 1 // checkpoints are written at anchors only
		l.Config.AdamW.Method, l.Config.Spike = optim.UseMuon, &spikes
		l.Evaluation = &training.Evaluation{Every: 1, Score: "score", KeepBest: true, Run: func(context.Context) (training.Metrics, error) {
			return training.Metrics{"score": 1}, nil
		}}
	}
	change(l)
	return l.Run(context.Background())
}

// discard takes checkpoints and keeps none.
type discard struct{}

func (discard) Save(_ context.Context, _ int64, write func(io.Writer) error) error {
	return write(io.Discard)
}

func (discard) Load(context.Context, func(int64, io.Reader) error) (bool, error) { return false, nil }

// peak is the most memory that the process has held, in bytes.
func peak(t *testing.T) int64 {
	f, err := os.Open("/proc/self/status")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kib, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 10, 64)
			require.NoError(t, err)
			return n << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
