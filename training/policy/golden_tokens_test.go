package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/golden"
	"tempera/training/policy"
)

const tolerance = 1e-9

func load(t *testing.T, name string) *golden.Case {
	t.Helper()
	c, err := golden.Load(name)
	require.NoError(t, err)
	return c
}

func param[T any](t *testing.T, c *golden.Case, name string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal(c.Params[name], &v), name)
	return v
}

// learned keeps the elements whose mask is set, and says where rows end.
func learned(rows, mask golden.Tensor) ([]float64, policy.Spans) {
	var kept []float64
	var spans policy.Spans
	for i, v := range rows.Data {
		if mask.Data == nil || mask.Data[i] != 0 {
			kept = append(kept, v)
		}
		if (i+1)%rows.Shape[1] == 0 {
			spans = append(spans, len(kept))
		}
	}
	return kept, spans
}

func TestGroupPolicyLossesAreTheGoldenOnes(t *testing.T) {
	for _, name := range []string{"grpo_sequence", "grpo_token", "grpo_constant"} {
		t.Run(name, func(t *testing.T) {
			c := load(t, name)
			mask := c.Inputs["mask"]
			logProb, spans := learned(c.Inputs["logp"], mask)
			old, _ := learned(c.Inputs["old_logp"], mask)
			reference, _ := learned(c.Inputs["ref_logp"], mask)
			baseline := policy.GroupMean
			if param[bool](t, c, "scale_by_std") {
				baseline = policy.GroupStd
			}
			advantages := baseline.Advantages(c.Inputs["rewards"].Data, param[int](t, c, "group"))
			require.InDeltaSlice(t, c.Outputs["advantages"].Data, advantages, tolerance)

			weighting := policy.Weighting{
				By: param[policy.Aggregation](t, c, "reduce"), Sequences: float64(len(spans)), Length: param[float64](t, c, "max_len"),
			}
			loss := policy.Loss{
				Clip: policy.Clip{Low: param[float64](t, c, "clip_low"), High: param[float64](t, c, "clip_high")},
				Beta: param[float64](t, c, "beta"), KL: policy.K3,
			}
			grad := make([]float64, len(logProb))
			sums := loss.Gradient(policy.Tokens{
				LogProb: logProb, Old: old, Reference: reference, Advantage: spans.Spread(advantages), Weight: weighting.Weights(spans),
			}, grad, nil)
			require.InDelta(t, c.Outputs["loss"].Data[0], sums.Loss, tolerance)
			require.InDelta(t, c.Outputs["kl"].Data[0], sums.KL/float64(sums.Tokens), tolerance)
			want, _ := learned(c.Grads["logp"], mask)
			require.InDeltaSlice(t, want, grad, tolerance)
		})
	}
}

func TestPPOIsTheGoldenOne(t *testing.T) {
	c := load(t, "ppo")
	none := golden.Tensor{}
	logProb, spans := learned(c.Inputs["logp"], none)
	values, old := c.Inputs["values"].Data, c.Inputs["old_values"].Data
	g := policy.GAE{Gamma: param[float64](t, c, "gamma"), Lambda: param[float64](t, c, "lam")}
	advantages := g.Advantages(spans, c.Inputs["rewards"].Data, old)
	require.InDeltaSlice(t, c.Outputs["advantages"].Data, advantages, tolerance)
	returns := policy.Returns(advantages, old)
	require.InDeltaSlice(t, c.Outputs["returns"].Data, returns, tolerance)

	policy.Whiten(advantages)
	weights := policy.Weighting{By: policy.PerToken}.Weights(spans)
	clip := param[float64](t, c, "clip")
	grad := make([]float64, len(logProb))
	sums := policy.Loss{Clip: policy.Clip{Low: clip, High: clip}}.Gradient(policy.Tokens{
		LogProb: logProb, Old: c.Inputs["old_logp"].Data, Advantage: advantages, Weight: weights,
	}, grad, nil)
	require.InDelta(t, c.Outputs["policy_loss"].Data[0], sums.Loss, tolerance)
	require.InDeltaSlice(t, c.Grads["logp"].Data, grad, tolerance)

	coefficient := param[float64](t, c, "vf_coef")
	sum, slopes := 0.0, make([]float64, len(values))
	for i, v := range values {
		l, d, _ := policy.Value(v, old[i], returns[i], param[float64](t, c, "value_clip"))
		sum += weights[i] * l
		slopes[i] = coefficient * weights[i] * d
	}
	require.InDelta(t, c.Outputs["value_loss"].Data[0], sum, tolerance)
	require.InDelta(t, c.Outputs["loss"].Data[0], sums.Loss+coefficient*sum, tolerance)
	require.InDeltaSlice(t, c.Grads["values"].Data, slopes, tolerance)
}
