package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/golden"
	"tempera/training/policy"
)

// close holds numbers to a golden tensor.
func within(t *testing.T, got []float64, want golden.Tensor) {
	t.Helper()
	require.InDeltaSlice(t, want.Data, got, 1e-12)
}

func TestGoldenPreferenceLosses(t *testing.T) {
	for _, name := range []string{"dpo_sigmoid", "dpo_sigmoid_smoothed", "dpo_ipo", "dpo_hinge"} {
		t.Run(name, func(t *testing.T) {
			c, err := golden.Load(name)
			require.NoError(t, err)
			kind, err := golden.Param[string](c, "kind")
			require.NoError(t, err)
			loss, ok := policy.FindPreference(kind)
			require.True(t, ok)
			var o policy.PreferenceOptions
			o.Beta, err = golden.Param[float64](c, "beta")
			require.NoError(t, err)
			o.Smoothing, err = golden.Param[float64](c, "label_smoothing")
			require.NoError(t, err)
			in := func(name string, i int) float64 { return c.Inputs[name].Data[i] }
			n := c.Inputs["pc"].Shape[0]
			pairs, grad := make([]policy.Pair, n), make([]policy.PairGradient, n)
			for i := range pairs { // of one token each: sums and means are the same
				pairs[i].Chosen = policy.Completion{LogProb: in("pc", i), Reference: in("rc", i), Tokens: 1}
				pairs[i].Rejected = policy.Completion{LogProb: in("pr", i), Reference: in("rr", i), Tokens: 1}
			}
			within(t, []float64{loss.Loss(o, pairs, grad)}, c.Outputs["loss"])
			var won, lost, dWon, dLost []float64
			for i, p := range pairs {
				won, lost = append(won, loss.Reward(o, p.Chosen)), append(lost, loss.Reward(o, p.Rejected))
				dWon, dLost = append(dWon, grad[i].Chosen), append(dLost, grad[i].Rejected)
			}
			within(t, won, c.Outputs["reward_chosen"])
			within(t, lost, c.Outputs["reward_rejected"])
			within(t, dWon, c.Grads["pc"])
			within(t, dLost, c.Grads["pr"])
		})
	}
}

func TestGoldenBradleyTerry(t *testing.T) {
	c, err := golden.Load("bradley_terry")
	require.NoError(t, err)
	n := c.Inputs["chosen"].Shape[0]
	pairs, grad := make([]policy.Scored, n), make([]policy.PairGradient, n)
	for i := range pairs {
		pairs[i] = policy.Scored{Chosen: c.Inputs["chosen"].Data[i], Rejected: c.Inputs["rejected"].Data[i], Margin: c.Inputs["margin"].Data[i]}
	}
	within(t, []float64{policy.BradleyTerry(pairs, 0, grad)}, c.Outputs["loss"])
	var won, lost []float64
	for _, g := range grad {
		won, lost = append(won, g.Chosen), append(lost, g.Rejected)
	}
	within(t, won, c.Grads["chosen"])
	within(t, lost, c.Grads["rejected"])
}
