package policy_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/policy"
)

// tokens are random, with everything that a loss can take.
func tokens(n int) policy.Tokens {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(mean, spread float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = mean + spread*r.NormFloat64()
		}
		return out
	}
	t := policy.Tokens{LogProb: draw(-2, 0.3), Old: draw(-2, 0.3), Reference: draw(-2, 0.3), Advantage: draw(0, 1), Weight: draw(1, 0.1), Entropy: draw(2, 0.3)}
	t.Importance = policy.Importance{Most: 1.2}.Weights(t.Old, draw(-2, 0.3))
	return t
}

func TestTheGradientIsThatOfTheLoss(t *testing.T) {
	const step = 1e-6
	for _, kl := range []policy.Estimator{policy.K1, policy.K2, policy.K3} {
		t.Run(string(kl), func(t *testing.T) {
			l := policy.Loss{Clip: policy.Clip{Low: 0.2, High: 0.28}, Beta: 0.1, KL: kl, Entropy: 0.03}
			x := tokens(40)
			dLogProb, dEntropy := make([]float64, 40), make([]float64, 40)
			l.Gradient(x, dLogProb, dEntropy)
			value := func() float64 { return l.Gradient(x, make([]float64, 40), nil).Loss }
			for _, c := range []struct{ at, grad []float64 }{{x.LogProb, dLogProb}, {x.Entropy, dEntropy}} {
				for i, v := range c.at {
					c.at[i] = v + step
					above := value()
					c.at[i] = v - step
					below := value()
					c.at[i] = v
					require.InDelta(t, (above-below)/(2*step), c.grad[i], 1e-7)
				}
			}
		})
	}
}

func TestPartsOfABatchAddUp(t *testing.T) {
	l := policy.Loss{Clip: policy.Clip{Low: 0.2, High: 0.2}, Beta: 0.1, KL: policy.K3}
	x := tokens(30)
	whole := l.Gradient(x, make([]float64, 30), nil)
	var sum policy.Sums
	for _, c := range [][2]int{{0, 7}, {7, 30}} {
		part := policy.Tokens{
			LogProb: x.LogProb[c[0]:c[1]], Old: x.Old[c[0]:c[1]], Reference: x.Reference[c[0]:c[1]], Advantage: x.Advantage[c[0]:c[1]],
			Weight: x.Weight[c[0]:c[1]], Importance: x.Importance[c[0]:c[1]], Entropy: x.Entropy[c[0]:c[1]],
		}
		sum.Add(l.Gradient(part, make([]float64, c[1]-c[0]), nil))
	}
	require.InDelta(t, whole.Loss, sum.Loss, 1e-12)
	require.InDelta(t, whole.Moved, sum.Moved, 1e-12)
	require.Equal(t, whole.Clipped, sum.Clipped)
	require.Equal(t, whole.Tokens, sum.Tokens)
	require.InDelta(t, whole.MaxRatio, sum.MaxRatio, 0)
	require.Positive(t, sum.Clipped)
}

func TestLeaveOneOutComparesWithTheOthers(t *testing.T) {
	rewards := []float64{1, 0, 0, 4, 2, 3}
	got := policy.LeaveOneOut.Advantages(rewards, 3)
	require.InDeltaSlice(t, []float64{1, -0.5, -0.5, 1.5, -1.5, 0}, got, 1e-12)
}

func TestGroupsOfEqualRewardsAreNotLive(t *testing.T) {
	require.Equal(t, []bool{true, false, false}, policy.Live([]float64{0, 1, 1, 1, 0.1, 0.1 + 1e-9}, 2))
}

func TestReturnsWithoutValuesAreSumsOfWhatFollows(t *testing.T) {
	got := policy.GAE{Gamma: 1, Lambda: 1}.Advantages(policy.Spans{3, 5}, []float64{1, 2, 3, 4, 5}, nil)
	require.Equal(t, []float64{6, 5, 3, 9, 5}, got)
	got = policy.GAE{Gamma: 0.5, Lambda: 1}.Advantages(policy.Spans{2}, []float64{1, 4}, nil)
	require.Equal(t, []float64{3, 4}, got)
}

func TestWhitenedNumbersHaveNoMeanAndUnitDeviation(t *testing.T) {
	x := []float64{3, 5, 7}
	policy.Whiten(x)
	require.InDeltaSlice(t, []float64{-math.Sqrt(1.5), 0, math.Sqrt(1.5)}, x, 1e-7)
	same := []float64{2, 2}
	policy.Whiten(same)
	require.Equal(t, []float64{0, 0}, same)
	policy.Whiten(nil)
}

func TestTheOverlongPenaltyFallsInTheLastTokens(t *testing.T) {
	o := policy.Overlong{Limit: 20, Cache: 4}
	var got []float64
	for _, n := range []int{10, 16, 17, 18, 20, 25} {
		got = append(got, o.Penalty(n))
	}
	require.Equal(t, []float64{0, 0, -0.25, -0.5, -1, -1}, got)
	require.Zero(t, policy.Overlong{Limit: 20}.Penalty(30), "it is off")
}

func TestTheWeightOfTheDivergenceFollowsItsTarget(t *testing.T) {
	c := policy.KLControl{Target: 5, Horizon: 1000}
	require.InDelta(t, 0.1*1.02, c.Next(0.1, 50, 100), 1e-12, "a fifth at most")
	require.InDelta(t, 0.1*0.98, c.Next(0.1, 0, 100), 1e-12)
	require.InDelta(t, 0.1*1.01, c.Next(0.1, 5.5, 100), 1e-12)
	require.InDelta(t, 0.1, policy.KLControl{}.Next(0.1, 50, 100), 0, "it is fixed")
}

func TestImportanceIsTruncated(t *testing.T) {
	got := policy.Importance{Most: 2}.Weights([]float64{-1, -1}, []float64{-5, math.Log(2) - 1})
	require.InDeltaSlice(t, []float64{2, 0.5}, got, 1e-12)
}

func TestAggregationsDivideByWhatTheirNamesSay(t *testing.T) {
	s := policy.Spans{1, 4}
	for by, want := range map[policy.Aggregation][]float64{
		policy.PerSequence: {0.5, 1. / 6, 1. / 6, 1. / 6}, policy.PerToken: {0.25, 0.25, 0.25, 0.25}, policy.PerLength: {0.05, 0.05, 0.05, 0.05},
	} {
		got := policy.Weighting{By: by, Sequences: 2, Length: 10}.Weights(s)
		require.InDeltaSlice(t, want, got, 1e-12, string(by))
	}
	halved := policy.Weighting{By: policy.PerSequence, Sequences: 4}.Weights(s)
	require.InDelta(t, 0.25, halved[0], 1e-12, "sequences that were left out count")
}
