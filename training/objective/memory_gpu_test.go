//go:build gpu

package objective_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device/cuda"
	"tempera/training/device/cuda/driver"
	"tempera/training/model"
	"tempera/training/objective"
)

// gpuShapes differ in what takes most of the device.
func gpuShapes() map[string]shape {
	return map[string]shape{
		"lm, most of it parameters":  {kind: model.LM, width: 192, plan: objective.Plan{Batch: 2, Lengths: []int{16}}},
		"lm, with copies":            {kind: model.LM, width: 64, plan: objective.Plan{Batch: 2, Lengths: []int{16}}, whole: true},
		"lm, most of it activations": {kind: model.LM, width: 32, plan: objective.Plan{Batch: 8, Lengths: []int{64}}},
		"clip in parts":              {kind: model.CLIP, width: 32, plan: objective.Plan{Batch: 8, Accumulate: 2}},
	}
}

func openGPU(t *testing.T, precision cuda.Precision) *cuda.Backend {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	b, err := cuda.Open(cuda.Options{Precision: precision})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// fake tells whether the GPU is played by the processor, and loads no code.
func fake(b *cuda.Backend) bool { return strings.HasPrefix(b.Info().Name, "fake") }

// weightOn trains a shape and returns what is predicted, and what is allocated. Nothing is freed before the end, but for copies that the run can do without.
func weightOn(t *testing.T, b *cuda.Backend, s shape) (m training.Memory, taken int64, err error) {
	t.Helper()
	var before int64
	_, err = s.train(t, b, func(l *training.Loop) {
		l.Planned = func(planned training.Memory) {
			m = planned
			var err error
			before, err = b.FreeBytes()
			require.NoError(t, err)
		}
	})
	after, freeErr := b.FreeBytes()
	require.NoError(t, freeErr)
	return m, before - after, err
}

func TestOnAGPUATrainingTakesWhatIsPredicted(t *testing.T) {
	for name, shape := range gpuShapes() {
		for _, precision := range []cuda.Precision{cuda.Full, cuda.Mixed} {
			t.Run(name+", "+string(precision), func(t *testing.T) {
				b := openGPU(t, precision)
				m, taken, err := weightOn(t, b, shape)
				require.NoError(t, err)
				predicted := m.Device() - m.Present - m.Ahead - m.Clones
				if fake(b) {
					predicted -= cuda.CodeBytes
				}
				const mib = 1 << 20
				t.Logf("predicted %.1f MiB, taken %.1f MiB", float64(predicted)/mib, float64(taken)/mib)
				require.LessOrEqual(t, taken, predicted)
				require.Greater(t, taken, predicted/2-cuda.CodeBytes/8)
			})
		}
	}
}

// onGPU is set in a process whose fake GPU has a certain memory.
const onGPU = "TEMPERA_TEST_WEIGHED_GPU"

// TestOnAGPUThereIsMemoryOrAnError: with as much memory as a training is predicted to need it runs; with less it is refused before it allocates any, and the
// batch to use is named.
func TestOnAGPUThereIsMemoryOrAnError(t *testing.T) {
	shape := gpuShapes()["lm, most of it activations"]
	if os.Getenv(onGPU) != "" {
		b := openGPU(t, cuda.Mixed)
		before, err := b.FreeBytes()
		require.NoError(t, err)
		m, taken, err := weightOn(t, b, shape)
		predicted := m.Device() - m.Present - m.Ahead - m.Clones
		after, freeErr := b.FreeBytes()
		require.NoError(t, freeErr)
		fmt.Println("weighed", predicted, before-after-taken, err)
		return
	}
	b := openGPU(t, cuda.Mixed)
	if !fake(b) {
		t.Skip("needs a GPU that has as much memory as it is told")
	}
	run := func(memory int64) (predicted, present int64, out string) {
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), onGPU+"=1", fmt.Sprintf("FAKE_CUDA_MEMORY=%d", memory))
		raw, err := c.CombinedOutput()
		require.NoError(t, err, string(raw))
		_, out, _ = strings.Cut(string(raw), "weighed ")
		_, err = fmt.Sscan(out, &predicted, &present)
		require.NoError(t, err, string(raw))
		return predicted, present, out
	}
	const all = 1 << 30
	predicted, present, out := run(all)
	require.Contains(t, out, "<nil>")
	free, err := b.FreeBytes()
	require.NoError(t, err)
	needed := predicted + present + all - free // what an open device holds by itself too
	_, _, out = run(needed)
	require.Contains(t, out, "<nil>")
	_, _, out = run(needed - 1)
	require.Contains(t, out, "a batch of 8 needs ")
	require.Contains(t, out, "use a batch of 4 (")
}
