package model

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device/reference"
	"tempera/training/graph"
)

func judging(s *Score) Config {
	return Config{Kind: LM, Width: 8, Text: Text{Vocab: 11, Context: 4, Layers: 1, Heads: 2, Form: Llama}, Score: s}.Resolve()
}

func TestAScoreHeadHasItsParametersAndItsInitialValues(t *testing.T) {
	names := func(c Config) (out []string) {
		for _, s := range c.Params() {
			out = append(out, s.Name)
		}
		return out
	}
	require.NotContains(t, names(judging(nil)), "score.weight")
	require.Contains(t, names(judging(&Score{})), "score.weight")
	require.NotContains(t, names(judging(&Score{})), "score.bias")
	wide := Config{Kind: LM, Width: 2000, Text: Text{Vocab: 8, Context: 2, Layers: 1, Heads: 2}, Score: &Score{}}.Resolve()
	w, err := Initial(wide, 1)
	require.NoError(t, err)
	v, err := w.Get("score.weight")
	require.NoError(t, err)
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	require.InDelta(t, 1, squares/2000*2001, 0.1, "the variance is 1/(d+1)")

	w, err = Initial(judging(&Score{Readout: Likelihood, Bias: 2}), 1)
	require.NoError(t, err)
	for name, want := range map[string]float32{"score.weight": 1, "score.bias": 2} {
		v, err := w.Get(name)
		require.NoError(t, err)
		require.Equal(t, []float32{want}, v)
	}
}

func TestWrongScoreHeadsAreToldInFull(t *testing.T) {
	c := judging(&Score{Readout: LastScore, Scale: 2, Bias: 1, Unit: "word"})
	for _, want := range []string{"score.scale is for sums", "score.bias is 1", `score.unit is "word"`} {
		require.ErrorContains(t, c.Validate(), want)
	}
	clip := Config{Kind: CLIP, Text: Text{Vocab: 11, Context: 4}, Vision: Vision{Image: 8}, Score: &Score{}}.Resolve()
	require.ErrorContains(t, clip.Validate(), "score is for lm and vlm")
}

// TestScoresAreStatesTimesTheHead, of all rows and of chosen ones.
func TestScoresAreStatesTimesTheHead(t *testing.T) {
	b := reference.New()
	m, err := New(b, judging(&Score{Readout: SumOfScores, Scale: 0.3}), 5)
	require.NoError(t, err)
	g, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
		states := m.Decode(g, Texts{Tokens: g.Reshape(g.Ints([]int32{1, 4, 2, 7}), 2, 2)}, nil).States
		g.Output("states", states)
		g.Output("scores", m.Scores(g, states))
		g.Output("some", m.ScoresAt(g, states, g.Ints([]int32{3, 0})))
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, g.Run())
	states, err := g.Read("states")
	require.NoError(t, err)
	scores, err := g.Read("scores")
	require.NoError(t, err)
	some, err := g.Read("some")
	require.NoError(t, err)
	head := b.Read(m.Param("score.weight").Value)
	for r, got := range scores {
		want := 0.0
		for i, w := range head {
			want += w * float64(states[r*8+i])
		}
		require.InDelta(t, want, got, 1e-5)
	}
	require.Len(t, scores, 4)
	require.Equal(t, []float32{scores[3], scores[0]}, some)
}

// TestExtendedWeightsKeepWhatBothHave and start the rest from the seed; what they lose is gone.
func TestExtendedWeightsKeepWhatBothHave(t *testing.T) {
	base, err := Initial(judging(nil), 1)
	require.NoError(t, err)
	c := judging(&Score{})
	c.LoRA = &LoRA{Rank: 2, Train: []string{"score.*"}}
	w, err := base.Extend(c, 7)
	require.NoError(t, err)
	for _, s := range base.Config.Params() {
		want, err := base.Get(s.Name)
		require.NoError(t, err)
		got, err := w.Get(s.Name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	score, err := w.Get("score.weight")
	require.NoError(t, err)
	require.Greater(t, math.Abs(float64(score[0])), 0.0)
	var file bytes.Buffer
	require.NoError(t, w.Write(&file))
	read, err := ReadWeights(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	require.Equal(t, w.Config, read.Config)

	back, err := w.Extend(judging(nil), 1)
	require.NoError(t, err)
	require.Equal(t, base.values, back.values)

	wider := judging(nil)
	wider.Text.Hidden += 16
	_, err = base.Extend(wider, 1)
	require.ErrorContains(t, err, "values, the other configuration wants")
}
