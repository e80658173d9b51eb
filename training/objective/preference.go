package objective

import (
	"tempera/training"
	"tempera/training/policy"
)

// Reference names the array of a batch that holds, for each span, its log-probability under the reference.
const Reference = "reference"

// Preference is a loss of pairs of completions as a loss of spans: a pair is the spans of the chosen completion and of the rejected one, and, where the loss
// wants it, of a mismatched one. Only a loss that judges completions by themselves takes a pair of which one is missing.
//
// Metrics: accuracy (how often the chosen completion has the larger reward; halves count as ties), margin (the difference of the rewards), reward_chosen,
// reward_rejected, the mean lengths chosen_tokens and rejected_tokens, and with a reference kl: the mean of log pi_ref - log pi over the
// completions, an estimate of KL(pi_ref || pi) where the reference wrote them.
func Preference(loss policy.Preference, o policy.PreferenceOptions) SpanLoss {
	size := PreferenceSpans(loss)
	return func(v SpanValues, grad []float64) (float64, training.Metrics) {
		var pairs []policy.Pair
		var at []int // the first span of each pair
		for s := 0; s+size <= len(v.Values); s += size {
			p := policy.Pair{Chosen: v.completion(s), Rejected: v.completion(s + 1)}
			if size > 2 {
				p.Mismatched = v.completion(s + 2)
			}
			both := p.Chosen.Tokens > 0 && p.Rejected.Tokens > 0
			if both || loss.Mismatched && p.Chosen.Tokens+p.Rejected.Tokens > 0 {
				pairs, at = append(pairs, p), append(at, s)
			}
		}
		d := make([]policy.PairGradient, len(pairs))
		sum := loss.Loss(o, pairs, d)
		for i, s := range at {
			grad[s] += d[i].Chosen
			grad[s+1] += d[i].Rejected
		}
		return sum, preferenceMetrics(loss, o, pairs)
	}
}

// PreferenceSpans is the number of spans of a pair.
func PreferenceSpans(loss policy.Preference) int {
	if loss.Mismatched {
		return 3
	}
	return 2
}

// completion is span s as a loss of preferences sees it.
func (v SpanValues) completion(s int) policy.Completion {
	c := policy.Completion{LogProb: v.Values[s], Tokens: v.Tokens[s]}
	if r := v.Extra[Reference]; r != nil {
		c.Reference = float64(r[s])
	}
	return c
}

func preferenceMetrics(loss policy.Preference, o policy.PreferenceOptions, pairs []policy.Pair) training.Metrics {
	m := means{}
	for _, p := range pairs {
		for _, c := range []struct {
			name string
			policy.Completion
		}{{"chosen", p.Chosen}, {"rejected", p.Rejected}} {
			if c.Tokens == 0 {
				continue
			}
			m.add("reward_"+c.name, loss.Reward(o, c.Completion))
			m.add(c.name+"_tokens", float64(c.Tokens))
			if loss.Reference {
				m.add("kl", c.Reference-c.LogProb)
			}
		}
		if p.Chosen.Tokens > 0 && p.Rejected.Tokens > 0 {
			margin := loss.Reward(o, p.Chosen) - loss.Reward(o, p.Rejected)
			m.add("margin", margin)
			m.add("accuracy", won(margin))
		}
	}
	return m.metrics()
}

// won is 1 for a positive difference, and a half for none.
func won(difference float64) float64 {
	switch {
	case difference > 0:
		return 1
	case difference == 0:
		return 0.5
	}
	return 0
}

// means are means of several numbers by name.
type means map[string]*mean

type mean struct {
	sum float64
	n   int
}

func (m means) add(name string, v float64) {
	if m[name] == nil {
		m[name] = &mean{}
	}
	m[name].sum += v
	m[name].n++
}

func (m means) metrics() training.Metrics {
	out := training.Metrics{}
	for name, x := range m {
		out[name] = x.sum / float64(x.n)
	}
	return out
}
