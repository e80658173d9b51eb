package objective

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device/reference"
	"tempera/training/model"
	"tempera/training/optim"
)

// TestLoRANeedsLittleMemory: parameters, gradients, moments and activations of a step by LoRA are at most 40% of those of full fine-tuning, of a model
// whose parameters weigh more than its activations; where layers are kept, their activations are at most three quarters.
func TestLoRANeedsLittleMemory(t *testing.T) {
	need := func(lora *model.LoRA, p Plan) (sum, activations int64) {
		c := model.Config{Kind: model.LM, Width: 256, Text: model.Text{Vocab: 4096, Context: 128, Layers: 8, Heads: 4, Form: model.Llama, TieHead: true}, LoRA: lora}
		m, err := model.New(reference.New(), c, 1)
		require.NoError(t, err)
		o, err := NewPackedLM(m, p, PackedShape{Rows: 4, Context: 128, Ends: 40})
		require.NoError(t, err)
		defer func() { require.NoError(t, o.Close()) }()
		sum = o.Memory().Peak()
		for _, p := range m.Params() {
			sum += optim.DefaultOptions().StateBytes(p)
		}
		return sum, o.Memory().Arena
	}
	full, _ := need(nil, Plan{Checkpoint: true})
	low, _ := need(&model.LoRA{Rank: 8}, Plan{Checkpoint: true})
	t.Logf("full %.1f MiB, lora %.1f MiB: %.0f%%", float64(full)/(1<<20), float64(low)/(1<<20), 100*float64(low)/float64(full))
	require.LessOrEqual(t, float64(low), 0.4*float64(full))
	_, full = need(nil, Plan{})
	_, low = need(&model.LoRA{Rank: 8}, Plan{})
	t.Logf("activations: full %.1f MiB, lora %.1f MiB: %.0f%%", float64(full)/(1<<20), float64(low)/(1<<20), 100*float64(low)/float64(full))
	require.LessOrEqual(t, float64(low), 0.75*float64(full))
}
