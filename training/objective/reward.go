package objective

import (
	"tempera/training"
	"tempera/training/policy"
)

// Names of arrays of a batch that reward models take, one number per span.
const (
	Margin = "margin" // of a chosen span: by how much it should be ahead
	Label  = "label"  // 1: right, 0: wrong
)

// BradleyTerry is the loss of a reward model on pairs, see policy.BradleyTerry: a pair is the spans of the chosen completion and of the rejected
// one. Metrics: accuracy, reward_chosen, reward_rejected and their difference, reward_margin.
func BradleyTerry(centring float64) SpanLoss {
	return func(v SpanValues, grad []float64) (float64, training.Metrics) {
		var pairs []policy.Scored
		var at []int
		m := means{}
		for s := 0; s+1 < len(v.Values); s += 2 {
			if v.Tokens[s] == 0 || v.Tokens[s+1] == 0 {
				continue
			}
			p := policy.Scored{Chosen: v.Values[s], Rejected: v.Values[s+1]}
			if x := v.Extra[Margin]; x != nil {
				p.Margin = float64(x[s])
			}
			pairs, at = append(pairs, p), append(at, s)
			m.add("accuracy", won(p.Chosen-p.Rejected))
			m.add("reward_chosen", p.Chosen)
			m.add("reward_rejected", p.Rejected)
			m.add("reward_margin", p.Chosen-p.Rejected)
		}
		d := make([]policy.PairGradient, len(pairs))
		loss := policy.BradleyTerry(pairs, centring, d)
		for i, s := range at {
			grad[s] += d[i].Chosen
			grad[s+1] += d[i].Rejected
		}
		return loss, m.metrics()
	}
}

// Labels is the loss of a verifier or a process reward model, see policy.Labels: each span is right or wrong. Metrics: accuracy of the more
// likely class, and brier, the mean squared error of the probability.
func Labels() SpanLoss {
	return func(v SpanValues, grad []float64) (float64, training.Metrics) {
		var scores []float64
		var right []bool
		var at []int
		m := means{}
		for s, n := range v.Tokens {
			if n == 0 {
				continue
			}
			label := v.Extra[Label][s] > 0.5
			scores, right, at = append(scores, v.Values[s]), append(right, label), append(at, s)
			p := policy.Sigmoid(v.Values[s])
			if !label {
				p = 1 - p
			}
			m.add("accuracy", won(p-0.5))
			m.add("brier", (1-p)*(1-p))
		}
		d := make([]float64, len(scores))
		loss := policy.Labels(scores, right, d)
		for i, s := range at {
			grad[s] += d[i]
		}
		return loss, m.metrics()
	}
}
