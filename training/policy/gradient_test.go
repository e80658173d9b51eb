package policy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/policy"
)

// pairsOf draws pairs of completions of several lengths.
func pairsOf(r *rand.Rand, n int) []policy.Pair {
	one := func() policy.Completion {
		tokens := 1 + r.IntN(6)
		return policy.Completion{LogProb: -float64(tokens) * (0.05 + r.Float64()), Reference: -float64(tokens) * (0.05 + r.Float64()), Tokens: tokens}
	}
	pairs := make([]policy.Pair, n)
	for i := range pairs {
		pairs[i] = policy.Pair{Chosen: one(), Rejected: one(), Mismatched: one()}
	}
	return pairs
}

// slope is the central difference of f along *x.
func slope(x *float64, f func() float64) float64 {
	const eps = 1e-6
	at := *x
	defer func() { *x = at }()
	*x = at + eps
	up := f()
	*x = at - eps
	return (up - f()) / (2 * eps)
}

func TestGradientsOfPreferenceLosses(t *testing.T) {
	o := policy.PreferenceOptions{Beta: 0.7, Smoothing: 0.1, Gamma: 0.4, Desirable: 1.3, Undesired: 0.6}
	for _, loss := range policy.Preferences() {
		t.Run(loss.Name, func(t *testing.T) {
			pairs := pairsOf(rand.New(rand.NewPCG(1, 2)), 5)
			if loss.Name == "kto" { // rows with a label have one completion
				pairs[1].Chosen, pairs[2].Rejected = policy.Completion{}, policy.Completion{}
				for i := range pairs { // the estimate of the divergence is held constant, also where it is not 0
					pairs[i].Mismatched.Reference -= 3
				}
			}
			grad := make([]policy.PairGradient, len(pairs))
			require.Positive(t, loss.Loss(o, pairs, grad))
			f := func() float64 { return loss.Loss(o, pairs, make([]policy.PairGradient, len(pairs))) }
			for i := range pairs {
				for which, c := range []struct {
					x *policy.Completion
					d float64
				}{{&pairs[i].Chosen, grad[i].Chosen}, {&pairs[i].Rejected, grad[i].Rejected}} {
					if c.x.Tokens == 0 {
						require.Zero(t, c.d)
						continue
					}
					require.InDelta(t, slope(&c.x.LogProb, f), c.d, 1e-8, "pair %d, completion %d", i, which)
				}
			}
			again := make([]policy.PairGradient, len(pairs))
			loss.Loss(o, pairs, again)
			loss.Loss(o, pairs, again)
			require.InDelta(t, 2*grad[0].Rejected, again[0].Rejected, 1e-15, "gradients add up")
		})
	}
}

// TestLossesFallWhereTheChosenCompletionGetsLikelier: of losses that are not squares, whatever the options.
func TestLossesFallWhereTheChosenCompletionGetsLikelier(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, loss := range policy.Preferences() {
		if loss.Name == "ipo" {
			continue
		}
		t.Run(loss.Name, func(t *testing.T) {
			for range 50 {
				o := policy.PreferenceOptions{Beta: 0.05 + r.Float64(), Gamma: r.Float64(), Desirable: 1, Undesired: 1}
				grad := make([]policy.PairGradient, 4)
				loss.Loss(o, pairsOf(r, 4), grad)
				for _, g := range grad {
					require.LessOrEqual(t, g.Chosen, 0.0)
					require.GreaterOrEqual(t, g.Rejected, 0.0)
				}
			}
		})
	}
}

func TestExtremesOfPreferenceLossesAreFinite(t *testing.T) {
	o := policy.PreferenceOptions{Beta: 1, Desirable: 1, Undesired: 1}
	for _, loss := range policy.Preferences() {
		for _, l := range []float64{0, -1e-12, -1e6} {
			t.Run(fmt.Sprintf("%s at %v", loss.Name, l), func(t *testing.T) {
				grad := make([]policy.PairGradient, 1)
				pair := policy.Pair{Chosen: policy.Completion{LogProb: l, Tokens: 3}, Rejected: policy.Completion{LogProb: -1e6, Tokens: 4}}
				v := loss.Loss(o, []policy.Pair{pair}, grad)
				for _, x := range []float64{v, grad[0].Chosen, grad[0].Rejected} {
					require.False(t, math.IsNaN(x) || math.IsInf(x, 0))
				}
			})
		}
	}
}

func TestGradientsOfRewardModelLosses(t *testing.T) {
	pairs := []policy.Scored{{1, -0.5, 0.3}, {-2, 1, 0}, {0.2, 0.1, 2}}
	grad := make([]policy.PairGradient, 3)
	policy.BradleyTerry(pairs, 0.01, grad)
	f := func() float64 { return policy.BradleyTerry(pairs, 0.01, make([]policy.PairGradient, 3)) }
	for i := range pairs {
		require.InDelta(t, slope(&pairs[i].Chosen, f), grad[i].Chosen, 1e-8)
		require.InDelta(t, slope(&pairs[i].Rejected, f), grad[i].Rejected, 1e-8)
	}

	scores, right, d := []float64{3, -1, 0.5, -40}, []bool{true, true, false, true}, make([]float64, 4)
	require.InDelta(t, (math.Log1p(math.Exp(-3))+math.Log1p(math.Exp(1))+math.Log1p(math.Exp(0.5))+40)/4, policy.Labels(scores, right, d), 1e-12)
	for i := range scores {
		require.InDelta(t, slope(&scores[i], func() float64 { return policy.Labels(scores, right, make([]float64, 4)) }), d[i], 1e-8)
	}
}

func TestWrongPreferenceOptionsAreToldInFull(t *testing.T) {
	err := policy.PreferenceOptions{Smoothing: 0.5, Gamma: -1}.Validate()
	for _, want := range []string{"beta is 0", "smoothing is 0.5", "gamma is -1"} {
		require.ErrorContains(t, err, want)
	}
}
