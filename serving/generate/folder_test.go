package generate_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/generate"
	"tempera/training/checkpoint"
	"tempera/training/hf"
	"tempera/training/kernel"
)

// TestFoldersOfTransformersAreDecoded holds the decoder against what PyTorch
// computes of the folders of training/hf: the log-probability of a prompt's tokens,
// where the golden file has the logits before them.
func TestFoldersOfTransformersAreDecoded(t *testing.T) {
	for _, c := range []struct {
		folder, logits string
		every          int // positions between logits
	}{{"gpt2", "logits", 4}, {"llama", "logits.llama3", 8}, {"qwen2", "logits", 4}} {
		t.Run(c.folder, func(t *testing.T) {
			base := filepath.Join("..", "..", "training", "hf", "testdata", c.folder)
			src, err := hf.Open(hf.Dir(base))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, src.Close()) })
			golden, err := checkpoint.OpenFile(base + ".golden.safetensors")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, golden.Close()) })
			ids, err := golden.Floats("input_ids")
			require.NoError(t, err)
			logits, err := golden.Floats(c.logits)
			require.NoError(t, err)

			const length = 32
			prompt := make([]int32, length-1)
			for i := range prompt {
				prompt[i] = int32(ids[i])
			}
			e, err := kernel.New(kernel.Options{Threads: 2})
			require.NoError(t, err)
			t.Cleanup(e.Close)
			g, err := generate.New(e, src.Config, src.Get, generate.Options{})
			require.NoError(t, err)
			results, err := g.Generate(t.Context(), []generate.Request{{Prompt: generate.Tokens(prompt...), PromptLogProbs: true, MaxTokens: 1}})
			require.NoError(t, err)

			vocab := src.Config.Text.Vocab
			for at := c.every - 1; at+1 < len(prompt); at += c.every {
				row := logits[at/c.every*vocab:][:vocab]
				require.InDelta(t, logProb(row, prompt[at+1]), results[0].PromptLogProbs[at+1], 1e-4, "token %d", at+1)
			}
		})
	}
}

func logProb(logits []float32, id int32) float64 {
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l))
	}
	return float64(logits[id]) - math.Log(sum)
}
