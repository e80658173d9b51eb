package model

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/graph"
	"tempera/training/op"
)

// TestTokenLogProbsAreThoseOfTheLogits: of tied heads, heads of their own, and heads that LoRA changes, log-probability and entropy are those of the softmax
// of TokenLogits.
func TestTokenLogProbsAreThoseOfTheLogits(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"a tied head":            func(c *Config) { c.Text.TieHead = true },
		"a head of its own":      func(*Config) {},
		"a head with a low rank": func(c *Config) { c.LoRA = &LoRA{Rank: 2, Targets: []string{"text.head"}} },
	} {
		t.Run(name, func(t *testing.T) {
			b := reference.New()
			c := Config{Kind: LM, Width: 8, Text: Text{Vocab: 11, Context: 4, Layers: 1, Heads: 2, Form: Llama}}
			change(&c)
			m, err := New(b, c, 5)
			require.NoError(t, err)
			if p := m.Param("text.head.lora_b"); p != nil {
				v := make([]float32, p.Value.Size())
				for i := range v {
					v[i] = float32(i%5) - 2
				}
				require.NoError(t, b.UploadFloats(p.Value, v))
			}
			targets := []int32{3, 0, device.IgnoreIndex, 10}
			g, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
				states := m.Decode(g, Texts{Tokens: g.Reshape(g.Ints([]int32{1, 4, 2, 7}), 1, 4)}, nil).States
				logits := m.TokenLogits(g, states)
				g.Output("logits", logits)
				g.Output("loss", op.CrossEntropy(g, logits, g.Ints(targets), op.CrossEntropyOptions{}))
				g.Output("y", m.TokenLogProbs(g, states, g.Ints(targets), 1))
				return nil
			})
			require.NoError(t, err)
			require.NoError(t, g.Run())
			y, err := g.Read("y")
			require.NoError(t, err)
			loss, err := g.Read("loss")
			require.NoError(t, err)
			require.InDelta(t, loss[0], -(y[0]+y[2]+y[6])/3, 1e-5)
			require.Zero(t, y[4])
			require.Zero(t, y[5])
			require.Greater(t, y[1], float32(0))
		})
	}
}
