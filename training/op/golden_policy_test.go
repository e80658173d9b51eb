package op_test

import (
	"maps"
	"testing"

	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
	"tempera/training/policy"
)

// goldenBuilds are the tested cases.
func goldenBuilds() map[string]map[string]goldenBuild {
	builds := operationBuilds()
	maps.Copy(builds, policyBuilds())
	return builds
}

// policyBuilds are losses of package policy, hosted in a graph.
func policyBuilds() map[string]map[string]goldenBuild {
	builds := map[string]map[string]goldenBuild{"bradley_terry": {"BradleyTerry": bradleyTerry}}
	for _, name := range []string{"dpo_sigmoid", "dpo_sigmoid_smoothed", "dpo_ipo", "dpo_hinge"} {
		builds[name] = map[string]goldenBuild{"a preference loss": preference}
	}
	return builds
}

// hosted is a loss of pairs, and its gradient by pair.
type hosted func(in [][]float64, grad []policy.PairGradient) float64

// pairLoss hosts a loss of two tensors, which come first.
func pairLoss(g *graph.Graph, f hosted, in ...*graph.Node) *graph.Node {
	return op.HostLoss(g, "pairs", func(in, grad [][]float64) float64 {
		pairs := make([]policy.PairGradient, len(in[0]))
		loss := f(in, pairs)
		for i, p := range pairs {
			grad[0][i], grad[1][i] = p.Chosen, p.Rejected
		}
		return loss
	}, in...)
}

func preference(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
	loss, ok := policy.FindPreference(param[string](t, c, "kind"))
	if !ok {
		t.Fatal("the loss is not listed")
	}
	o := policy.PreferenceOptions{Beta: param[float64](t, c, "beta"), Smoothing: param[float64](t, c, "label_smoothing")}
	beta := float32(o.Beta)
	return nodes{
		"reward_chosen":   op.WeightedSum(g, []float32{beta, -beta}, in["pc"], in["rc"]),
		"reward_rejected": op.WeightedSum(g, []float32{beta, -beta}, in["pr"], in["rr"]),
		"loss": pairLoss(g, func(in [][]float64, grad []policy.PairGradient) float64 {
			pairs := make([]policy.Pair, len(grad))
			for i := range pairs {
				pairs[i].Chosen = policy.Completion{LogProb: in[0][i], Reference: in[2][i], Tokens: 1}
				pairs[i].Rejected = policy.Completion{LogProb: in[1][i], Reference: in[3][i], Tokens: 1}
			}
			return loss.Loss(o, pairs, grad)
		}, in["pc"], in["pr"], in["rc"], in["rr"]),
	}
}

func bradleyTerry(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
	scored := func(in [][]float64) []policy.Scored {
		pairs := make([]policy.Scored, len(in[0]))
		for i := range pairs {
			pairs[i] = policy.Scored{Chosen: in[0][i], Rejected: in[1][i], Margin: in[2][i]}
		}
		return pairs
	}
	all := []*graph.Node{in["chosen"], in["rejected"], in["margin"]}
	return nodes{
		"loss": pairLoss(g, func(in [][]float64, grad []policy.PairGradient) float64 {
			return policy.BradleyTerry(scored(in), 0, grad)
		}, all...),
		"accuracy": pairLoss(g, func(in [][]float64, _ []policy.PairGradient) float64 {
			right := 0.0
			for _, p := range scored(in) {
				if p.Chosen > p.Rejected {
					right++
				}
			}
			return right / float64(len(in[0]))
		}, all...),
	}
}
