//go:build gpu

package accelerator

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	"tempera/training/device/devicetest"
)

// several is a pool of GPUs, of which there must be n at least. The fake has as many as are asked for.
func several(t *testing.T, n string) *Pool {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	t.Setenv("FAKE_CUDA_DEVICES", n)
	p, err := NewPool(nil)
	require.NoError(t, err)
	if len(p.GPUs()) < 2 {
		t.Skip("this machine has one GPU")
	}
	return p
}

func TestGPUsThatAreLentTogetherAreAGroup(t *testing.T) {
	p := several(t, "3")
	both, err := p.TakeAll(t.Context(), CUDA, F32, 2)
	require.NoError(t, err)
	require.Equal(t, []device.Backend{both.Leases[0].Backend, both.Leases[1].Backend}, both.Group.Backends())
	t.Cleanup(func() {
		require.NoError(t, both.Close())
		require.Empty(t, p.busy)
	})
	devicetest.RunGroup(t, both.Group)
}

func TestOfSeveralGPUsTheLostOneIsLentNoMore(t *testing.T) {
	if !strings.Contains(driver.Library(), "fake") {
		t.Skip("only the fake device gets lost when it is told to")
	}
	p := several(t, "2")
	both, err := p.TakeAll(t.Context(), CUDA, F32, 2)
	require.NoError(t, err)
	var values [][]*device.Value
	for _, b := range both.Group.Backends() {
		v, err := device.New(b, device.Floats(8))
		require.NoError(t, err)
		values = append(values, []*device.Value{v})
	}
	t.Setenv("FAKE_CUDA_LOSE", "1")
	t.Setenv("FAKE_CUDA_LOSE_AFTER", "0")
	both.Group.Backends()[1].Scale(values[1][0], values[1][0], 2)
	err = both.Group.Reduce(values)
	require.Error(t, err)
	require.Error(t, both.Close())
	err = both.Class(err)
	require.ErrorIs(t, err, ErrLost)
	require.ErrorContains(t, err, "cuda:1 fake CUDA device")
	require.Contains(t, p.lost, 1)
	require.NotContains(t, p.lost, 0)

	_, err = p.TakeAll(t.Context(), CUDA, F32, 2)
	require.ErrorIs(t, err, ErrLost, "another worker has two")
	t.Setenv("FAKE_CUDA_LOSE_AFTER", "")
	one, err := p.Take(t.Context(), CUDA, F32)
	require.NoError(t, err)
	require.Equal(t, 0, one.GPU.Ordinal)
	require.NoError(t, one.Close())
}
