//go:build gpu

package accelerator

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

func TestAWorkerLearnsAtOnceThatAGPUCannotBeUsed(t *testing.T) {
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	p, err := NewPool(nil)
	require.NoError(t, err)
	require.NoError(t, p.Try())
	if !strings.HasPrefix(p.GPUs()[0].Name, "fake") {
		t.Skip("a real GPU is what it is")
	}
	t.Setenv("FAKE_CUDA_CAPABILITY", "75")
	require.ErrorContains(t, p.Try(), "CUDA device 0 (fake CUDA device): the kernels need compute capability 8.0 (Ampere) or later, this device has 7.5")
}

func TestALeasedGPUShowsWhatItsBackendCan(t *testing.T) {
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	p, err := NewPool(nil)
	require.NoError(t, err)
	for precision, activations := range map[string]device.DType{"": device.BFloat16, BF16: device.BFloat16, TF32: device.Float32, F32: device.Float32} {
		l, err := p.Take(t.Context(), CUDA, precision)
		require.NoError(t, err)
		require.Equal(t, activations, device.ActivationsOf(l.Backend))
		require.True(t, l.Backend.Records())
		free, err := l.Backend.FreeBytes()
		require.NoError(t, err)
		require.Positive(t, free)
		require.NoError(t, l.Close())
	}
}
