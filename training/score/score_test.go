package score_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/score"
)

func TestRanks(t *testing.T) {
	diagonal := func(i, t int) bool { return i == t }
	nan := float32(math.NaN())
	for _, c := range []struct {
		name             string
		scores           []float32
		same             func(i, t int) bool
		images, texts    []int
		recall1, recall5 float64 // image to text
	}{
		{"a perfect model finds all", []float32{3, 1, 1, 1, 3, 1, 1, 1, 3}, diagonal, []int{0, 0, 0}, []int{0, 0, 0}, 1, 1},
		{"a model that says the same of everything finds none", make([]float32, 9), diagonal, []int{2, 2, 2}, []int{2, 2, 2}, 0, 1},
		{"rows and columns are ranked apart", []float32{1, 2, 0, 0, 3, 4, 0, 0, 5}, diagonal, []int{1, 1, 0}, []int{0, 0, 0}, 1. / 3, 1},
		{
			"a duplicate caption that scores higher is no miss",
			[]float32{1, 2, 0, 0, 3, 4, 0, 0, 5},
			func(i, t int) bool { return i == t || i < 2 && t < 2 },
			[]int{0, 1, 0},
			[]int{0, 0, 0},
			2. / 3, 1,
		},
		{"scores that are no numbers count against the query", []float32{nan, nan, nan, 0, 1, nan, 0, 0, 1}, diagonal, []int{2, 1, 0}, []int{2, 1, 2}, 1. / 3, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := score.Gallery{Images: 3, Texts: 3, Scores: c.scores, Same: c.same}.Ranks()
			require.NoError(t, err)
			require.Equal(t, c.images, r.ImageToText)
			require.Equal(t, c.texts, r.TextToImage)
			require.InDelta(t, c.recall1, score.Recall(r.ImageToText, 1), 1e-15)
			require.InDelta(t, c.recall5, score.Recall(r.ImageToText, 5), 1e-15)
		})
	}
	t.Run("several texts to an image need one of them", func(t *testing.T) {
		r, err := score.Gallery{Images: 2, Texts: 4, Scores: []float32{0, 9, 5, 1, 2, 3, 8, 1}, Same: func(i, t int) bool { return t/2 == i }}.Ranks()
		require.NoError(t, err)
		require.Equal(t, []int{0, 0}, r.ImageToText)
		require.Equal(t, []int{1, 0, 0, 1}, r.TextToImage)
		require.Equal(t, []float64{0, 1, 1, 0}, score.Hits(r.TextToImage, 1))
	})
	t.Run("a query without a partner and a wrong shape are errors", func(t *testing.T) {
		_, err := score.Gallery{Images: 2, Texts: 1, Scores: []float32{1, 1}, Same: diagonal}.Ranks()
		require.ErrorContains(t, err, "image 1 has no right text")
		_, err = score.Gallery{Images: 2, Texts: 2, Scores: []float32{1}, Same: diagonal}.Ranks()
		require.ErrorContains(t, err, "1 scores for 2 images and 2 texts")
	})
}

func TestGalleries(t *testing.T) {
	all := score.Galleries(25, 10, 7)
	require.Len(t, all, 2)
	require.Equal(t, all, score.Galleries(25, 10, 7))
	require.NotEqual(t, all, score.Galleries(25, 10, 8))
	members := slices.Sorted(slices.Values(slices.Concat(all...)))
	require.Len(t, slices.Compact(members), 20)
	require.Len(t, score.Galleries(3, 10, 7), 1)
	require.Equal(t, []int{2, 0, 3}, score.TopK([]float32{5, 1, 9, 5}, 3))
}

func TestFilter(t *testing.T) {
	t.Run("a worked example", func(t *testing.T) {
		q, err := score.JudgeFilter([]score.Filter{
			{0.9, true, true}, {0.8, true, false}, {0.7, true, true}, {0.6, false, true}, {0.5, false, false}, {0.5, false, true},
		})
		require.NoError(t, err)
		require.Equal(t, score.FilterQuality{Pairs: 6, Good: 4, Kept: 3, Precision: 2. / 3, Recall: 0.5, F1: 4. / 7, AUC: 4.5 / 8}, q)
	})
	t.Run("AUC is the share of ordered pairs", func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var d []score.Filter
		for range 200 {
			good := r.IntN(3) > 0
			s := float64(r.IntN(20))
			if good {
				s += 3
			}
			d = append(d, score.Filter{Score: s, Good: good})
		}
		var wins, pairs float64
		for _, a := range d {
			for _, b := range d {
				if a.Good && !b.Good {
					pairs++
					if a.Score > b.Score {
						wins++
					} else if a.Score == b.Score {
						wins += 0.5
					}
				}
			}
		}
		q, err := score.JudgeFilter(d)
		require.NoError(t, err)
		require.InDelta(t, wins/pairs, q.AUC, 1e-12)
	})
	t.Run("figures that do not exist are 0, and a score that is no number is an error", func(t *testing.T) {
		q, err := score.JudgeFilter([]score.Filter{{Score: 1, Good: true}})
		require.NoError(t, err)
		require.Equal(t, score.FilterQuality{Pairs: 1, Good: 1, AUC: 0.5}, q)
		_, err = score.JudgeFilter([]score.Filter{{Score: math.NaN()}})
		require.Error(t, err)
	})
}

func TestZeroShot(t *testing.T) {
	z := score.ZeroShot{Width: 2, Features: []float32{2, 0.1, 0, 3, 1, 1, -1, 0}, Prototypes: []float32{10, 0, 0, 0.1}, Labels: []int{0, 1, 1, 0}}
	correct, err := z.Correct()
	require.NoError(t, err)
	require.Equal(t, []float64{1, 1, 0, 0}, correct, "the length of vectors does not matter, and a tie goes to class 0")
	z.Labels[0] = 2
	_, err = z.Correct()
	require.ErrorContains(t, err, "label 2 of sample 0")
	z.Width = 3
	_, err = z.Correct()
	require.ErrorContains(t, err, "do not fit")
}

func TestBootstrap(t *testing.T) {
	t.Run("the interval of a proportion is close to the normal approximation", func(t *testing.T) {
		values := make([]float64, 400)
		for i := range 120 {
			values[i] = 1
		}
		got := score.Bootstrap{Seed: 1, Resamples: 5000}.Mean(values)
		half := 1.959964 * math.Sqrt(0.3*0.7/400)
		require.InDelta(t, 0.3, got.Mean, 1e-15)
		require.InDelta(t, 0.3-half, got.Low, 0.005)
		require.InDelta(t, 0.3+half, got.High, 0.005)
		require.Equal(t, 400, got.N)
	})
	t.Run("95% intervals hold the truth in about 95 of 100 cases", func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		held := 0
		for trial := range 400 {
			values := make([]float64, 60)
			for i := range values {
				values[i] = r.NormFloat64()
			}
			got := score.Bootstrap{Seed: uint64(trial), Resamples: 400}.Mean(values)
			if got.Low <= 0 && 0 <= got.High {
				held++
			}
		}
		require.InDelta(t, 0.94, float64(held)/400, 0.03)
	})
	t.Run("the seed decides", func(t *testing.T) {
		values := []float64{1, 2, 3, 4, 10}
		require.Equal(t, score.Bootstrap{Seed: 1}.Mean(values), score.Bootstrap{Seed: 1}.Mean(values))
		require.NotEqual(t, score.Bootstrap{Seed: 1}.Mean(values), score.Bootstrap{Seed: 2, Resamples: 50}.Mean(values))
		require.Equal(t, score.Interval{Mean: 2, Low: 2, High: 2, N: 1}, score.Bootstrap{}.Mean([]float64{2}))
		require.Zero(t, score.Bootstrap{}.Mean(nil))
	})
}

func TestCompare(t *testing.T) {
	base := []float64{50, 51, 49, 50, 52}
	plus := func(gaps ...float64) []float64 {
		arm := slices.Clone(base)
		for i, g := range gaps {
			arm[i] += g
		}
		return arm
	}
	for _, c := range []struct {
		name string
		arm  []float64
		rule score.Rule
		want score.Verdict
	}{
		{"ahead in all pairs by the margin is better", plus(3, 4, 3, 2, 4), score.Rule{Margin: 3}, score.Better},
		{"ahead in four of five by the margin is better", plus(5, 5, 5, 5, -1), score.Rule{Margin: 3}, score.Better},
		{"ahead in three of five is undecided whatever the mean", plus(50, 50, 50, -1, 0), score.Rule{Margin: 3}, score.Undecided},
		{"ahead by less than the margin is undecided", plus(2, 2, 2, 2, 2), score.Rule{Margin: 3}, score.Undecided},
		{"behind by the margin is worse", plus(-3, -3, -4, -3, 1), score.Rule{Margin: 2}, score.Worse},
		{"equal arms are undecided", plus(), score.Rule{}, score.Undecided},
		{"all five can be asked for", plus(5, 5, 5, 5, -1), score.Rule{Margin: 3, AtLeast: 5}, score.Undecided},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := score.Compare(c.arm, base, c.rule, score.Bootstrap{Seed: 1})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Verdict)
			require.LessOrEqual(t, got.Gap.Low, got.Gap.Mean)
			require.LessOrEqual(t, got.Gap.Mean, got.Gap.High)
		})
	}
	_, err := score.Compare(base, base[:4], score.Rule{}, score.Bootstrap{})
	require.ErrorContains(t, err, "want pairs")
	_, err = score.Compare(base, base, score.Rule{AtLeast: 6}, score.Bootstrap{})
	require.ErrorContains(t, err, "at least 6 of 5")
	one, err := score.Compare([]float64{2}, []float64{1}, score.Rule{}, score.Bootstrap{})
	require.NoError(t, err)
	require.Equal(t, 1, one.Rule.AtLeast)
}
