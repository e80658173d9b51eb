//go:build gpu

package bench

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device/accelerator"
)

// onGPU skips the test where there is no GPU. REQUIRE_GPU makes that a failure.
func onGPU(t *testing.T) accelerator.Flags {
	t.Helper()
	if _, err := accelerator.NewPool(nil); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	return accelerator.Flags{Device: "cuda"}
}

func TestAttentionIsMeasuredOnAGPU(t *testing.T) {
	o := AttentionDefaults()
	o.GPU, o.Batch, o.Heads, o.KVHeads, o.Tokens, o.Backward, o.Repeats = onGPU(t), 1, 2, 1, 40, true, 1
	r, err := Attention(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, r.ForwardMS)
	require.Positive(t, r.BackwardMS)
	require.Contains(t, r.Device, "bf16")
}

func TestProductsAreMeasuredOnAGPU(t *testing.T) {
	o := GemmDefaults()
	o.GPU, o.Sizes, o.Repeats = onGPU(t), []int{24}, 1
	r, err := Gemm(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, r.Products, 1)
	require.Positive(t, r.Products[0].MS)
}

func TestCheckpointsOfAGPUAreCopiedOnIt(t *testing.T) {
	o := CheckpointOptions{Options: tiny(), Every: 2, Folder: t.TempDir()}
	o.GPU = onGPU(t)
	r, err := Checkpoint(t.Context(), o)
	require.NoError(t, err)
	require.True(t, r.Cloned)
	require.Positive(t, r.Checkpoints)
	_, err = Resume(t.Context(), o)
	require.NoError(t, err)
}
