package model

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/checkpoint"
)

func TestAnOpenFileGivesTheSameModel(t *testing.T) {
	m := newModel(t, tiny(CLIP))
	w, err := m.Weights()
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, w.Write(&b))
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	f, err := OpenFile(path)
	require.NoError(t, err)
	require.Equal(t, m.Config, f.Config)
	again, err := f.Load(newCPU(t))
	require.NoError(t, err)
	var copied bytes.Buffer
	require.NoError(t, WriteFrom(&copied, f.Config, f.Get))
	require.Equal(t, b.Bytes(), copied.Bytes())
	require.NoError(t, f.Close())
	back, err := again.Weights()
	require.NoError(t, err)
	require.Equal(t, w, back, "a model does not need its file any more")

	require.NoError(t, os.WriteFile(path, b.Bytes()[:100], 0o600))
	_, err = OpenFile(path)
	require.ErrorIs(t, err, checkpoint.ErrCorrupt)
}

func TestWeightsAreAssembledOfWholeParametersOnly(t *testing.T) {
	c := tiny(LM).Resolve()
	values := map[string][]float32{}
	for _, s := range c.Params() {
		values[s.Name] = make([]float32, s.size())
	}
	w, err := NewWeights(c, values)
	require.NoError(t, err)
	_, err = w.Get("text.token")
	require.NoError(t, err)
	delete(values, "text.norm.bias")
	values["text.token"] = values["text.token"][1:]
	values["text.tokens"] = nil
	_, err = NewWeights(c, values)
	for _, want := range []string{`"text.norm.bias" is missing`, `"text.token" has 239 values, want [15 16]`} {
		require.ErrorContains(t, err, want)
	}
	c.Text.Vocab = -1
	_, err = NewWeights(c, values)
	require.ErrorContains(t, err, "text.vocab")
	_, err = LoadFrom(newCPU(t), c, nil)
	require.ErrorContains(t, err, "text.vocab")
}
