package accelerator

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
)

func TestChoices(t *testing.T) {
	for text, want := range map[string]Choice{"": Auto, "auto": Auto, "cpu": CPU, "cuda": CUDA, "cuda:3": {"cuda", 3}} {
		got, err := ParseChoice(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"} {
		_, err := ParseChoice(text)
		require.ErrorContains(t, err, "use auto, cpu, cuda or cuda:N")
	}
	require.True(t, Choice{"cuda", 3}.GPU())
	require.False(t, Auto.GPU())
	require.ErrorContains(t, CheckPrecision(CPU, BF16), "needs a GPU")
	require.ErrorContains(t, CheckPrecision(CUDA, "fp8"), "use bf16, tf32 or f32")
	require.NoError(t, CheckPrecision(Auto, BF16))
	require.NoError(t, CheckPrecision(CPU, F32))
}

func TestAPoolLendsEachGPUOnce(t *testing.T) {
	p := &Pool{gpus: []GPU{{Ordinal: 0, Name: "a"}, {Ordinal: 2, Name: "b"}}, busy: map[int]bool{}, lost: map[int]error{}, freed: make(chan struct{})}
	first, wait, err := p.claim(CUDA)
	require.NoError(t, err)
	require.Nil(t, wait)
	second, _, err := p.claim(Auto)
	require.NoError(t, err)
	require.NotEqual(t, first.Ordinal, second.Ordinal)

	_, wait, err = p.claim(CUDA)
	require.NoError(t, err)
	require.NotNil(t, wait, "both are busy")
	p.release(second.Ordinal)
	<-wait
	again, _, err := p.claim(Choice{"cuda", 2})
	require.NoError(t, err)
	require.Equal(t, 2, again.Ordinal)

	_, _, err = p.claim(Choice{"cuda", 1})
	require.ErrorContains(t, err, "this worker offers cuda:0")
	p.lost[0], p.lost[2] = ErrLost, ErrLost
	_, _, err = p.claim(CUDA)
	require.ErrorIs(t, err, ErrLost)

	var none *Pool
	_, err = none.Take(t.Context(), CUDA, "")
	require.ErrorContains(t, err, "use queue: gpu")
}

func TestALeaseComputesAsItsGPUDoes(t *testing.T) {
	l := &Lease{Backend: rounding{}}
	require.Equal(t, device.BFloat16, device.ActivationsOf(l), "activations of a lease")
	require.Implements(t, (*device.Separate)(nil), l, "the memory limit is the GPU's")
}

// rounding is a GPU that computes in bf16.
type rounding struct{ Backend }

func (rounding) Activations() device.DType { return device.BFloat16 }
