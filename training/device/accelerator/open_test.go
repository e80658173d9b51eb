//go:build gpu

package accelerator

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

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
		require.Implements(t, (*device.Separate)(nil), l.Backend)
		require.NoError(t, l.Close())
	}
}
