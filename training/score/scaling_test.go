package score_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/score"
)

func TestAScalingCurveIsFoundAgain(t *testing.T) {
	loss := func(n, d float64) float64 {
		return 1.7 + 400*math.Pow(n, -0.34) + 410*math.Pow(d, -0.28) // Hoffmann et al. 2022
	}
	t.Run("of sizes at one number of tokens", func(t *testing.T) {
		var points []score.ScalingPoint
		for _, n := range []float64{1e5, 3e5, 1e6, 3e6} {
			points = append(points, score.ScalingPoint{Parameters: n, Tokens: 1e7, Loss: loss(n, 1e7), Error: 0.002})
		}
		s, err := score.FitScaling(points, 1)
		require.NoError(t, err)
		require.InDelta(t, 0.34, s.Alpha.Mean, 0.03)
		require.InDelta(t, 1.7+410*math.Pow(1e7, -0.28), s.Floor.Mean, 0.15, "the floor holds what the data adds")
		require.Less(t, s.Alpha.Low, s.Alpha.Mean)
		require.Greater(t, s.Alpha.High, s.Alpha.Mean)
		require.InDelta(t, loss(1e7, 1e7), s.At(1e7, 1e7), 0.15, "a model three times as large as the largest")
		require.Less(t, s.Worst, 0.01)
		require.Nil(t, s.Data)
	})
	t.Run("of sizes and tokens", func(t *testing.T) {
		var points []score.ScalingPoint
		for _, n := range []float64{1e5, 1e6, 1e7} {
			for _, d := range []float64{1e6, 1e7, 1e8} {
				points = append(points, score.ScalingPoint{Parameters: n, Tokens: d, Loss: loss(n, d)})
			}
		}
		s, err := score.FitScaling(points, 1)
		require.NoError(t, err)
		require.InDelta(t, 0.34, s.Alpha.Mean, 0.03)
		require.InDelta(t, 0.28, s.Beta.Mean, 0.03)
		require.InDelta(t, 1.7, s.Floor.Mean, 0.3)
	})
	t.Run("of losses that a size does not lower", func(t *testing.T) {
		s, err := score.FitScaling([]score.ScalingPoint{{1e5, 1e6, 2, 0.01}, {1e6, 1e6, 2, 0.01}, {1e7, 1e6, 2, 0.01}}, 1)
		require.NoError(t, err)
		require.InDelta(t, 2, s.At(1e8, 1e6), 0.05)
	})
}

func TestWhatShowsNoScalingCurve(t *testing.T) {
	for _, c := range []struct {
		name, want string
		points     []score.ScalingPoint
	}{
		{"two sizes", "2 sizes of model", []score.ScalingPoint{{1e5, 1e6, 3, 0}, {1e6, 1e6, 2, 0}}},
		{"two budgets", "2 numbers of tokens", []score.ScalingPoint{{1e5, 1e6, 3, 0}, {1e6, 2e6, 2, 0}, {1e7, 2e6, 2, 0}}},
		{"a loss that is no number", "point 0", []score.ScalingPoint{{1e5, 1e6, math.NaN(), 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := score.FitScaling(c.points, 1)
			require.ErrorContains(t, err, c.want)
		})
	}
}
