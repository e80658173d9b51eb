//go:build gpu

package parallel_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/cuda"
	"tempera/training/device/cuda/driver"
)

// gpuPlaces are GPUs, by NCCL and by way of the host. The fake has as many as are asked for.
func gpuPlaces() []place {
	of := func(p cuda.Precision, library string) func(t *testing.T, n int) device.Group {
		return func(t *testing.T, n int) device.Group {
			if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
				t.Skip(err)
			}
			t.Setenv("FAKE_CUDA_DEVICES", fmt.Sprint(n))
			if library != "" {
				t.Setenv("TEMPERA_LIBNCCL", library)
			}
			if have, err := driver.Count(); err != nil || have < n {
				t.Skipf("this machine has %d GPUs (%v)", have, err)
			}
			var backends []*cuda.Backend
			for i := range n {
				b, err := cuda.Open(cuda.Options{Ordinal: i, Precision: p})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, b.Close()) })
				backends = append(backends, b)
			}
			g, err := cuda.NewGroup(backends...)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, g.Close()) })
			return g
		}
	}
	return []place{
		{"on GPUs in bf16", 1e-5, of(cuda.Mixed, ""), nil}, // the micro-batches are the same: sums of float32 differ
		{"on GPUs in f32", 1e-5, of(cuda.Full, ""), []string{"lm"}},
		{"on GPUs in bf16, over the host", 1e-5, of(cuda.Mixed, "none"), []string{"experts"}},
	}
}
