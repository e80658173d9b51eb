package search

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// walk is a world in which a text is a walk of letters 0, 1 and 2, drawn evenly. Only one walk of each problem is right; a verifier knows how far a walk is on
// it, with an error that grows with blur.
type walk struct {
	length int
	blur   float64
	wrote  int
}

func (w *walk) right(problem int) []int32 {
	r := rand.New(rand.NewPCG(uint64(problem), 1))
	out := make([]int32, w.length)
	for i := range out {
		out[i] = int32(r.IntN(3))
	}
	return out
}

func (w *walk) Write(_ context.Context, from []Beginning) ([][][]Step, error) {
	out := make([][][]Step, len(from))
	for i, b := range from {
		for k := range b.Samples {
			r := rand.New(rand.NewPCG(b.Seed, uint64(k)))
			var steps []Step
			for n := len(b.Steps); n < w.length; n++ {
				w.wrote++
				steps = append(steps, Step{Tokens: []int32{int32(r.IntN(3))}, LogProb: math.Log(1.0 / 3), Cost: 1, Ended: n == w.length-1})
				if !b.Whole {
					break
				}
			}
			out[i] = append(out[i], steps)
		}
	}
	return out, nil
}

func (w *walk) Judge(_ context.Context, texts []Text) ([][]float64, error) {
	out := make([][]float64, len(texts))
	for i, t := range texts {
		right := w.right(t.Problem)
		for k, id := range t.Tokens() {
			p := 0.9
			if id != right[k] {
				p = 0.1
			}
			r := rand.New(rand.NewPCG(uint64(t.Problem)<<16+uint64(k)<<8+uint64(id), 2))
			out[i] = append(out[i], math.Min(1, math.Max(0.01, p+w.blur*(r.Float64()-0.5))))
		}
	}
	return out, nil
}

func (w *walk) solved(out []Outcome) (n int) {
	for p, o := range out {
		if slices.Equal(o.Text.Tokens(), w.right(p)) && o.Text.Ended() {
			n++
		}
	}
	return n
}

func spent(out []Outcome) (n int) {
	for _, o := range out {
		n += o.Spent
	}
	return n
}

func TestSearchOverStepsFindsWhatSamplesDoNot(t *testing.T) {
	const problems, length, n = 30, 6, 16
	w := &walk{length: length}
	s := &Searcher{Problems: problems, Writer: w, Verifier: w, Seed: 1}
	samples, err := s.Sample(t.Context(), n)
	require.NoError(t, err)
	best, err := samples.Best(n)
	require.NoError(t, err)
	require.Equal(t, w.wrote, spent(best), "every token is counted")
	w.wrote = 0
	beam, err := s.Beam(t.Context(), Beams{Keep: 2, Branch: 8})
	require.NoError(t, err)
	require.Equal(t, w.wrote, spent(beam))
	w.wrote = 0
	tree, err := s.MCTS(t.Context(), Tree{Branch: 8, Budget: n * length})
	require.NoError(t, err)
	require.Equal(t, w.wrote, spent(tree))
	require.LessOrEqual(t, spent(beam), spent(best), "at no more tokens")
	require.LessOrEqual(t, spent(tree), spent(best)+problems*(8+length))
	require.LessOrEqual(t, w.solved(best), 4, "one walk of 729 is right")
	require.Greater(t, w.solved(beam), 18)
	require.Greater(t, w.solved(tree), 20, "it solved 25 of them at this setting, 9 at a bonus of 1")
}

func TestABetterVerifierFindsMore(t *testing.T) {
	var solved []int
	for _, blur := range []float64{0, 1.2, 4} {
		w := &walk{length: 5, blur: blur}
		s := &Searcher{Problems: 60, Writer: w, Verifier: w, Seed: 2}
		out, err := s.Beam(t.Context(), Beams{Keep: 2, Branch: 4})
		require.NoError(t, err)
		solved = append(solved, w.solved(out))
	}
	require.Greater(t, solved[0], solved[1])
	require.Greater(t, solved[1], solved[2])
}

func TestTheSameSeedFindsTheSame(t *testing.T) {
	w := &walk{length: 5, blur: 1}
	for name, find := range map[string]func(s *Searcher) ([]Outcome, error){
		"beam": func(s *Searcher) ([]Outcome, error) { return s.Beam(t.Context(), Beams{Keep: 2, Branch: 2}) },
		"tree": func(s *Searcher) ([]Outcome, error) { return s.MCTS(t.Context(), Tree{Branch: 2, Budget: 40}) },
		"best": func(s *Searcher) ([]Outcome, error) {
			samples, err := s.Sample(t.Context(), 4)
			require.NoError(t, err)
			return samples.Best(4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			find := func(seed uint64) []Outcome {
				out, err := find(&Searcher{Problems: 10, Writer: w, Verifier: w, Seed: seed})
				require.NoError(t, err)
				return out
			}
			require.Equal(t, find(1), find(1))
			require.NotEqual(t, find(1), find(2))
		})
	}
}

// fixed are samples of one problem with given answers and scores.
func fixed(answers []int32, scores ...float64) *Samples {
	s := &Samples{Texts: make([][]Text, 1)}
	for _, a := range answers {
		s.Texts[0] = append(s.Texts[0], Text{Steps: []Step{{Tokens: []int32{a}, LogProb: -float64(a), Cost: 2, Ended: true}}})
	}
	if scores != nil {
		s.Scores = [][]float64{scores}
	}
	return s
}

func TestVotes(t *testing.T) {
	answer := func(x Text) string {
		return []string{"", "one", "two", "three"}[x.Steps[0].Tokens[0]]
	}
	for _, c := range []struct {
		name      string
		samples   *Samples
		n         int
		weighting Weighting
		want      int32
	}{
		{"the most voices", fixed([]int32{1, 2, 2}), 3, Equal, 2},
		{"the first of equal ones", fixed([]int32{2, 1, 1, 2}), 4, Equal, 2},
		{"only the first n count", fixed([]int32{1, 2, 2}), 2, Equal, 1},
		{"more than there are", fixed([]int32{1, 2, 2}), 9, Equal, 2},
		{"no answer is no voice", fixed([]int32{0, 0, 3}), 3, Equal, 3},
		{"nobody answers", fixed([]int32{0, 0}), 2, Equal, 0},
		{"the verifier's voices", fixed([]int32{1, 2, 2}, 0.9, 0.3, 0.4), 3, Verified, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := c.samples.Vote(c.n, c.weighting, answer)
			require.NoError(t, err)
			require.Equal(t, []int32{c.want}, out[0].Text.Tokens())
			require.Equal(t, 2*min(c.n, len(c.samples.Texts[0])), out[0].Spent)
		})
	}
	_, err := fixed([]int32{1}).Vote(1, Verified, answer)
	require.ErrorIs(t, err, errVerifier)
	_, err = fixed([]int32{1}).Best(1)
	require.ErrorIs(t, err, errVerifier)
	require.Equal(t, []int32{1}, fixed([]int32{3, 1, 2}).Likeliest(3)[0].Text.Tokens())
}

func TestReductions(t *testing.T) {
	scores := []float64{0.5, 0.4, 0.9}
	require.InDelta(t, 0.18, Product.of(scores), 1e-12)
	require.Equal(t, 0.4, Least.of(scores))
	require.Equal(t, 0.9, Final.of(scores))
	require.InDelta(t, 0.18, Reduction("").of(scores), 1e-12, "the default is the product")
	require.Zero(t, Product.of(nil))
}

func TestWrongSearches(t *testing.T) {
	w := &walk{length: 3}
	s := &Searcher{Problems: 2, Writer: w}
	_, err := s.Beam(t.Context(), Beams{Keep: 1, Branch: 2})
	require.ErrorIs(t, err, errVerifier)
	_, err = s.MCTS(t.Context(), Tree{Branch: 1, Budget: 2})
	require.ErrorIs(t, err, errVerifier)
	s.Verifier = silent{}
	_, err = s.Beam(t.Context(), Beams{Keep: 1, Branch: 2})
	require.ErrorContains(t, err, "0 scores for 4 texts")
	_, err = s.Beam(t.Context(), Beams{})
	require.ErrorContains(t, err, "positive numbers")
	_, err = s.MCTS(t.Context(), Tree{})
	require.ErrorContains(t, err, "positive numbers")
}

type silent struct{}

func (silent) Judge(context.Context, []Text) ([][]float64, error) { return nil, nil }
