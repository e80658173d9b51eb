package generate

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/network"
	"tempera/training/model"
)

// TestAGeneratorTakesTheMemoryThatItSays measures the heap before a generator is made and after it has written as much as it can, without the second copy of
// the packed weights that Load has for a moment.
func TestAGeneratorTakesTheMemoryThatItSays(t *testing.T) {
	for name, text := range map[string]model.Text{
		"keys and values":     {Form: model.Llama, Vocab: 64, Context: 2048, Layers: 4, Heads: 8, KVHeads: 8},
		"weights":             {Form: model.Llama, Vocab: 1024, Context: 64, Layers: 6, Heads: 8, KVHeads: 2},
		"logits and a step's": {Form: model.Llama, Vocab: 32_000, Context: 64, Layers: 1, Heads: 4, KVHeads: 1, TieHead: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOf(t, model.Config{Kind: model.LM, Width: 128, Text: text}.Resolve(), Options{Rows: 1})
			before := heap()
			g := f.with(t, newEngine(t, 1), Options{Rows: 48})
			requests := make([]Request, 48)
			for i := range requests {
				requests[i] = Request{Prompt: f.prompt(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), MaxTokens: 2, Search: Search{Temperature: 1}, Seed: uint64(i)}
			}
			write(t, g, requests...)
			took := heap() - before
			packed, err := network.New(newEngine(t, 1), f.config, f.weights.Get)
			require.NoError(t, err)
			said := g.Memory() - packed.Bytes()
			require.Greater(t, float64(took), 0.8*float64(said))
			require.Less(t, float64(took), 1.1*float64(said), "kernels lease some more")
		})
	}
}

// heap is what is live.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one found free
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
