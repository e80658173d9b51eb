package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/checkpoint"
	"tempera/training/device"
	"tempera/training/kernel"
)

func newCPU(t *testing.T) device.Backend {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return device.NewCPUOn(e, device.OpaqueHeap()) // no one reads memory but through the backend
}

func tiny(kind Kind) Config {
	c := Config{Kind: kind, Width: 16, Text: Text{Vocab: 15, Context: 6, Layers: 2}}
	if kind != LM {
		c.Vision = Vision{Image: 8, Patch: 4, Layers: 2}
	}
	return c
}

func newModel(t *testing.T, c Config) *Model {
	t.Helper()
	m, err := New(newCPU(t), c, 3)
	require.NoError(t, err)
	return m
}

func TestTheWidthSizesWhatIsNotGiven(t *testing.T) {
	c := Config{Kind: BLIP, Width: 128, Vision: Vision{Image: 32, Heads: 4}, Text: Text{Vocab: 100, Context: 16, Width: 64}}.Resolve()
	require.NoError(t, c.Validate())
	require.Equal(t, []int{128, 4, 4, 512}, []int{c.Vision.Width, c.Vision.Layers, c.Vision.Heads, c.Vision.Hidden})
	require.Equal(t, []int{64, 3, 4, 256}, []int{c.Text.Width, c.Text.Layers, c.Text.Heads, c.Text.Hidden})
	require.Equal(t, 64, c.Vision.Tokens())
	require.Equal(t, c, c.Resolve(), "resolving again changes nothing")
}

func TestAConfigurationNamesEveryFault(t *testing.T) {
	c := Config{
		Kind: "gan", Activation: "relu", Width: -3, Embed: -1,
		Vision: Vision{Image: 30, Patch: 4, Width: 10, Heads: 3, Layers: -1, Pool: "last", PositionStd: -1},
		Text:   Text{Vocab: 2, Context: -1, Width: 10, Heads: 3, Layers: 1, TokenStd: math.NaN()},
	}.Resolve()
	err := c.Validate()
	for _, part := range []string{
		"kind", "activation", "embed", "vision.image is 30", "vision.layers", "vision.width", "vision.pool",
		"vision.position_std", "text.context", "text.width", "text.token_std", "id 2", "id 3",
	} {
		require.ErrorContains(t, err, part)
	}
	_, err = ParseConfig([]byte(`{"kind":"lm","wdith":3}`))
	require.ErrorContains(t, err, "wdith")
	_, err = ParseConfig([]byte(`{"kind":"lm","width":65536,"text":{"vocab":16777216,"context":8}}`))
	require.ErrorContains(t, err, "lower width")
}

func TestInitialValuesDependOnSeedAndNameOnly(t *testing.T) {
	small, large := tiny(CLIP).Resolve(), tiny(BLIP).Resolve()
	values := map[string][]float32{}
	for _, s := range small.Params() {
		values[s.Name] = s.Values(9)
	}
	shared := 0
	for _, s := range large.Params() {
		if v, ok := values[s.Name]; ok {
			require.Equal(t, v, s.Values(9), s.Name)
			shared++
		}
	}
	require.Equal(t, len(values)-1, shared, "all but log_scale are parameters of blip too")
	require.NotEqual(t, values["text.token"], small.Params()[0].Values(9))
	require.NotEqual(t, values["text.token"], Spec{Name: "text.token", Shape: []int{15, 16}, init: initial{std: 0.1}}.Values(10))
}

func TestNormalParametersHaveTheirDeviation(t *testing.T) {
	v := Spec{Name: "w", Shape: []int{200, 200}, init: initial{std: 0.5}}.Values(1)
	var sum, squares float64
	for _, x := range v {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	require.InDelta(t, 0, sum/float64(len(v)), 0.01)
	require.InDelta(t, 0.25, squares/float64(len(v)), 0.01)
}

func TestVectorsDoNotDecay(t *testing.T) {
	for _, p := range newModel(t, tiny(BLIP)).Params() {
		require.Equal(t, len(p.Value.Shape()) == 1, p.NoDecay, p.Name)
	}
}

func TestWeightsSurviveAFile(t *testing.T) {
	for _, kind := range []Kind{CLIP, BLIP, LM} {
		m := newModel(t, tiny(kind))
		w, err := m.Weights()
		require.NoError(t, err)
		var a, b bytes.Buffer
		require.NoError(t, w.Write(&a))
		back, err := ReadWeights(bytes.NewReader(a.Bytes()), int64(a.Len()))
		require.NoError(t, err)
		loaded, err := Load(m.Backend(), back)
		require.NoError(t, err)
		again, err := loaded.Weights()
		require.NoError(t, err)
		require.NoError(t, again.Write(&b))
		require.Equal(t, a.Bytes(), b.Bytes())
	}
}

func TestWeightsOfAnotherShapeAreRefused(t *testing.T) {
	w, err := newModel(t, tiny(LM)).Weights()
	require.NoError(t, err)
	config, err := w.Config.JSON()
	require.NoError(t, err)
	for name, ts := range map[string][]checkpoint.Tensor{
		"is missing":   {},
		"want [15 16]": {checkpoint.Float32("text.token", []int{16, 15}, make([]float32, 240))},
	} {
		var b bytes.Buffer
		require.NoError(t, checkpoint.Write(&b, map[string]string{metaConfig: string(config)}, ts))
		_, err := ReadWeights(bytes.NewReader(b.Bytes()), int64(b.Len()))
		require.ErrorContains(t, err, name)
	}
	var b bytes.Buffer
	require.NoError(t, checkpoint.Write(&b, nil, nil))
	_, err = ReadWeights(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.ErrorContains(t, err, "not a model of this program")
	_, err = ReadWeights(bytes.NewReader(b.Bytes()[:4]), 4)
	require.ErrorIs(t, err, checkpoint.ErrCorrupt)
}

func TestAModelStartsFromTheSharedPartsOfAnother(t *testing.T) {
	w, err := newModel(t, tiny(BLIP)).Weights()
	require.NoError(t, err)
	m, err := New(newCPU(t), tiny(CLIP), 99)
	require.NoError(t, err)
	n, err := m.Copy(w)
	require.NoError(t, err)
	require.Equal(t, len(m.Params())-1, n, "log_scale is clip's own")
	got, err := m.Weights()
	require.NoError(t, err)
	require.Equal(t, w.values["text.token"], got.values["text.token"])
}

// batchOf makes n images and texts of all lengths.
func batchOf(c Config, n int) (images []float32, tokens, lengths []int32) {
	r := rand.New(rand.NewPCG(1, 1))
	images = make([]float32, n*c.Vision.Pixels())
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	for i := range n {
		lengths = append(lengths, int32(1+i%c.Text.Context))
		for j := range c.Text.Context {
			id := int32(0)
			if j <= i%c.Text.Context {
				id = int32(4 + r.IntN(c.Text.Vocab-4))
			}
			tokens = append(tokens, id)
		}
	}
	return images, tokens, lengths
}

func TestScoresDoNotDependOnTheBatch(t *testing.T) {
	for _, pool := range []Pool{Mean, First, Last} {
		c := tiny(BLIP)
		c.Text.Pool = pool
		if pool == First {
			c.Vision.Pool = First
		}
		m := newModel(t, c)
		const n = 7
		images, tokens, lengths := batchOf(m.Config, n)
		type scores struct{ images, texts, matches []float32 }
		score := func(batch int) (r scores) {
			s, err := NewScorer(m, batch)
			require.NoError(t, err)
			r.images, err = s.ImageFeatures(images, n)
			require.NoError(t, err)
			r.texts, err = s.TextFeatures(tokens, lengths)
			require.NoError(t, err)
			r.matches, err = s.MatchScores(images, tokens, lengths)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			return r
		}
		one, four := score(1), score(4)
		require.Len(t, four.images, n*m.Config.Embed)
		require.Len(t, four.matches, n)
		for i, pairs := range [][2][]float32{{one.images, four.images}, {one.texts, four.texts}, {one.matches, four.matches}} {
			for j := range pairs[0] {
				require.InDelta(t, pairs[0][j], pairs[1][j], 1e-5, "%s: result %d, element %d", pool, i, j)
			}
		}
		for i := range n {
			var sum float64
			for _, x := range four.texts[i*m.Config.Embed : (i+1)*m.Config.Embed] {
				sum += float64(x) * float64(x)
			}
			require.InDelta(t, 1, sum, 1e-5)
		}
	}
}

func TestPairsAreJudgedLikeRows(t *testing.T) {
	m := newModel(t, tiny(BLIP))
	images, tokens, lengths := batchOf(m.Config, 4)
	s, err := NewScorer(m, 3)
	require.NoError(t, err)
	rows, err := s.MatchScores(images, tokens, lengths)
	require.NoError(t, err)
	pairs, err := s.MatchPairs(images, tokens, lengths, []Pair{{2, 2}, {0, 3}, {0, 0}, {3, 3}})
	require.NoError(t, err)
	require.Equal(t, []float32{rows[2], rows[0], rows[3]}, []float32{pairs[0], pairs[2], pairs[3]})
	require.NotEqual(t, rows[0], pairs[1])
	_, err = s.MatchPairs(images, tokens, lengths, []Pair{{4, 0}})
	require.ErrorContains(t, err, "image 4")
	_, err = s.TextFeatures(tokens[:5], lengths[:1])
	require.ErrorContains(t, err, "not 1 texts of 6")
	require.NoError(t, s.Close())
	clip, err := NewScorer(newModel(t, tiny(CLIP)), 2)
	require.NoError(t, err)
	_, err = clip.MatchScores(images, tokens, lengths)
	require.ErrorContains(t, err, "no matching head")
}
