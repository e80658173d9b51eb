package hf

import (
	"encoding/json"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"tempera/training/model"
)

func rewardModel(change func(c *model.Config)) model.Config {
	c := model.Config{
		Kind: model.LM, Width: 16, Text: model.Text{Vocab: 20, Context: 8, Layers: 1, Heads: 2, KVHeads: 1, Form: model.Llama}, Score: &model.Score{},
	}
	if change != nil {
		change(&c)
	}
	return c.Resolve()
}

// TestARewardModelGoesThroughLlamaForSequenceClassification: its language head stays behind, everything else is what it was.
func TestARewardModelGoesThroughLlamaForSequenceClassification(t *testing.T) {
	w, err := model.Initial(rewardModel(nil), 3)
	require.NoError(t, err)
	tree := written{fstest.MapFS{}}
	require.NoError(t, Write(tree.output, w.Config, w, Options{}))
	var config struct {
		Architectures []string          `json:"architectures"`
		Labels        map[string]string `json:"id2label"`
	}
	require.NoError(t, json.Unmarshal(tree.MapFS[ConfigFile].Data, &config))
	require.Equal(t, []string{"LlamaForSequenceClassification"}, config.Architectures)
	require.Len(t, config.Labels, 1, "one label is a regression: a score")

	src := open(t, FS(tree.MapFS))
	info, ok := src.tensors.Info("score.weight")
	require.True(t, ok)
	require.Equal(t, []int{1, 16}, info.Shape)
	_, ok = src.tensors.Info("lm_head.weight")
	require.False(t, ok)
	require.Equal(t, model.LastScore, src.Config.Score.Readout)
	got, err := src.Weights()
	require.NoError(t, err)
	for _, s := range got.Config.Params() {
		want, err := w.Get(s.Name)
		require.NoError(t, err)
		have, err := got.Get(s.Name)
		require.NoError(t, err)
		require.Equal(t, want, have, s.Name)
	}
	again := export(t, src, Options{})
	require.Equal(t, tensorBytes(t, tree.MapFS), tensorBytes(t, again))
}

func TestAReadoutThatTransformersLackIsNotWritten(t *testing.T) {
	err := Exportable(rewardModel(func(c *model.Config) { c.Score.Readout = model.SumOfScores }))
	require.ErrorContains(t, err, "score.readout is sum, it must be last")
	require.NoError(t, Exportable(rewardModel(nil)))
	require.Equal(t, "text-classification", Task(rewardModel(nil)))
	require.ErrorContains(t, Exportable(rewardModel(func(c *model.Config) { c.Text.Form = model.Qwen2 })), "has no Hugging Face form")
}
