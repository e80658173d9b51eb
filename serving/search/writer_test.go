package search

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/generate"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
)

// newModel writes with a small network of random weights, whose tokens are letters; token 10 is a comma.
func newModel(t *testing.T, cut Cutting) *Model {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	m, err := model.New(device.NewCPU(e), model.Config{Kind: model.LM, Width: 32, Text: model.Text{Form: model.Llama, Vocab: 20, Context: 64}}, 3)
	require.NoError(t, err)
	w, err := m.Weights()
	require.NoError(t, err)
	decode := func(ids []int32) string {
		var b strings.Builder
		for _, id := range ids {
			b.WriteByte("abcdefghij,klmnopqrst"[id])
		}
		return b.String()
	}
	g, err := generate.New(e, m.Config, w.Get, generate.Options{Decode: decode})
	require.NoError(t, err)
	return &Model{Generator: g, Prompts: [][]generate.Part{generate.Tokens(1, 5), generate.Tokens(1, 6, 7)}, MaxTokens: 30, Search: generate.Search{Temperature: 1}, Cut: cut, Decode: decode}
}

func TestStepsOfAModelAreTheTextAndEndWhereTheyShould(t *testing.T) {
	for name, cut := range map[string]Cutting{"a separator": {Separator: ","}, "three tokens": {Tokens: 3}} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, cut)
			check := func(s Step, last bool) {
				text := m.Decode(s.Tokens)
				switch {
				case cut.Separator != "" && s.over():
					require.LessOrEqual(t, strings.Count(text, ","), 1)
				case cut.Separator != "":
					require.True(t, strings.Count(text, ",") == 1 && strings.HasSuffix(text, ","), text)
				case !s.over():
					require.Len(t, s.Tokens, 3)
				}
				require.True(t, last || !s.over())
			}
			written, err := m.Write(t.Context(), []Beginning{
				{Text: Text{Problem: 0}, Samples: 8, Seed: 1, Whole: true}, {Text: Text{Problem: 1}, Samples: 8, Seed: 2},
			})
			require.NoError(t, err)
			several := 0
			for _, steps := range written[0] {
				text := Text{0, steps}
				require.True(t, text.Over())
				require.LessOrEqual(t, cost(steps), 30)
				for i, s := range steps {
					check(s, i == len(steps)-1)
				}
				if len(steps) > 1 {
					several++
				}
				scored, err := m.Generator.Score(t.Context(), []generate.Scored{{Text: generate.Tokens(append([]int32{1, 5}, text.Tokens()...)...)}})
				require.NoError(t, err)
				sum := 0.0
				for _, lp := range scored[0][2:] {
					sum += float64(lp)
				}
				if text.Ended() { // the end of the text is no token of it
					require.Less(t, text.LogProb(), sum)
				} else {
					require.InDelta(t, sum, text.LogProb(), 1e-4)
				}
			}
			require.Positive(t, several)
			for _, steps := range written[1] {
				require.Len(t, steps, 1)
				check(steps[0], true)
				if steps[0].over() {
					continue
				}
				more, err := m.Write(t.Context(), []Beginning{{Text: Text{1, steps}, Samples: 1, Seed: 3, Whole: true}})
				require.NoError(t, err)
				require.LessOrEqual(t, cost(steps)+cost(more[0][0]), 30)
			}
		})
	}
}

// likes is a verifier that likes a token: its share of a text.
type likes int32

func (l likes) Judge(_ context.Context, texts []Text) ([][]float64, error) {
	out := make([][]float64, len(texts))
	for i, t := range texts {
		n, ids := 0, t.Tokens()
		for _, id := range ids {
			if id == int32(l) {
				n++
			}
		}
		out[i] = []float64{float64(n+1) / float64(len(ids)+1)}
	}
	return out, nil
}

func TestATreeOfAModelsSteps(t *testing.T) {
	m := newModel(t, Cutting{Tokens: 2})
	s := &Searcher{Problems: 2, Writer: m, Verifier: likes(2), Reduce: Final, Seed: 4}
	samples, err := s.Sample(t.Context(), 4)
	require.NoError(t, err)
	best, err := samples.Best(4)
	require.NoError(t, err)
	tree, err := s.MCTS(t.Context(), Tree{Branch: 4, Budget: 120})
	require.NoError(t, err)
	beam, err := s.Beam(t.Context(), Beams{Keep: 2, Branch: 4})
	require.NoError(t, err)
	for p := range 2 {
		for _, o := range []Outcome{best[p], tree[p], beam[p]} {
			require.True(t, o.Text.Over())
			require.Positive(t, o.Spent)
		}
		require.GreaterOrEqual(t, beam[p].Score, best[p].Score-0.35)
	}
}
