package model

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

func adapted(t *testing.T) (base, with *Weights) {
	t.Helper()
	c := Config{Kind: LM, Width: 16, Text: Text{Form: Llama, Vocab: 30, Context: 6, Layers: 2}}
	base, err := newModel(t, c).Weights()
	require.NoError(t, err)
	c.LoRA = &LoRA{Rank: 3, Targets: []string{"text.blocks.*.mlp.*", "text.head"}, Train: []string{"text.norm.weight"}}
	m, err := New(newCPU(t), c, 8)
	require.NoError(t, err)
	n, err := m.Copy(base)
	require.NoError(t, err)
	require.Equal(t, len(base.Config.Params()), n)
	with, err = m.Weights()
	require.NoError(t, err)
	for name, v := range with.values { // as after some training
		if isLoRA(name) || name == "text.norm.weight" {
			copy(v, goldenValue(name, len(v)))
		}
	}
	return base, with
}

func logitsOf(t *testing.T, w *Weights) []float32 {
	t.Helper()
	b := newCPU(t)
	m, err := Load(b, w)
	require.NoError(t, err)
	g, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
		g.Output("logits", m.TokenLogits(g, m.DecoderStates(g, g.Input("tokens", device.Int32, 2, 6), nil)))
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, g.Feed("tokens", []int32{1, 5, 3, 7, 9, 2, 8, 8, 0, 4, 11, 29}))
	require.NoError(t, g.Run())
	out, err := g.Read("logits")
	require.NoError(t, err)
	require.NoError(t, g.Close())
	return out
}

func TestMergedLoRAComputesWhatItDidApart(t *testing.T) {
	base, with := adapted(t)
	merged, err := with.Merge()
	require.NoError(t, err)
	require.Equal(t, base.Config, merged.Config)
	want, got, before := logitsOf(t, with), logitsOf(t, merged), logitsOf(t, base)
	moved := 0.0
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-5)
		moved = max(moved, float64(want[i]-before[i]))
	}
	require.Greater(t, moved, 0.01)
	_, err = merged.Merge()
	require.ErrorContains(t, err, "no lora")
}

func TestLoRASurvivesASmallFileOfItsOwn(t *testing.T) {
	base, with := adapted(t)
	var whole, small bytes.Buffer
	require.NoError(t, with.Write(&whole))
	require.NoError(t, with.WriteLoRA(&small))
	require.Less(t, 2*small.Len(), whole.Len())
	back, err := ReadLoRA(bytes.NewReader(small.Bytes()), int64(small.Len()), base)
	require.NoError(t, err)
	require.Equal(t, with, back)

	base.values["text.token"][3]++
	_, err = ReadLoRA(bytes.NewReader(small.Bytes()), int64(small.Len()), base)
	require.ErrorContains(t, err, "another model")
	_, err = ReadLoRA(bytes.NewReader(whole.Bytes()), int64(whole.Len()), base)
	require.ErrorContains(t, err, metaBase)
	require.ErrorContains(t, base.WriteLoRA(&small), "has none")
}

func TestLoRATrainsWhatItNamesOnly(t *testing.T) {
	_, with := adapted(t)
	m, err := Load(newCPU(t), with)
	require.NoError(t, err)
	g, err := graph.Build(m.Backend(), graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		logits := m.TokenLogits(g, m.DecoderStates(g, g.Input("tokens", device.Int32, 2, 6), nil))
		return op.CrossEntropy(g, logits, g.Input("targets", device.Int32, 2, 6), op.CrossEntropyOptions{})
	})
	require.NoError(t, err)
	require.NoError(t, g.Run())
	for _, p := range m.Params() {
		trained := isLoRA(p.Name) || p.Name == "text.norm.weight"
		require.Equal(t, trained, p.Trained(), p.Name)
		require.Equal(t, trained, p.Grad != nil, "%s has a gradient", p.Name)
	}
	require.NoError(t, g.Close())
}
