package policy

import "math"

// kto is KTO (Ethayarajh et al. 2024): each completion by itself, wanted or not. With r its log-ratio to the reference and z the mean log-ratio
// of the batch's mismatched completions, at least 0, an estimate of the divergence from the reference that is held constant, the loss is
// w_d (1 - sigmoid(beta (r - z))) of a chosen one and w_u (1 - sigmoid(beta (z - r))) of a rejected one. The mean is over completions; one
// without tokens is absent, as those of rows that have a label instead of a partner are. Takes Beta, Desirable, Undesired.
//
// Deviation: the mismatched completion of a row is the same in each epoch (the paper shifts the batch), so that its log-probability under
// the reference can be computed beforehand.
func kto() Preference {
	return Preference{Name: "kto", Reference: true, Mismatched: true, Reward: implicit, Loss: ktoLoss}
}

func ktoLoss(o PreferenceOptions, pairs []Pair, grad []PairGradient) float64 {
	divergence, mismatched, n := 0.0, 0, 0
	for _, p := range pairs {
		if p.Mismatched.Tokens > 0 {
			divergence += p.Mismatched.ratio()
			mismatched++
		}
		n += present(p.Chosen) + present(p.Rejected)
	}
	z := math.Max(0, divergence/math.Max(1, float64(mismatched)))
	sum := 0.0
	one := func(c Completion, sign, weight float64, grad *float64) {
		if c.Tokens == 0 {
			return
		}
		weight /= float64(n)
		s := Sigmoid(sign * o.Beta * (c.ratio() - z))
		sum += weight * (1 - s)
		*grad -= weight * sign * o.Beta * s * (1 - s)
	}
	for i, p := range pairs {
		one(p.Chosen, 1, o.Desirable, &grad[i].Chosen)
		one(p.Rejected, -1, o.Undesired, &grad[i].Rejected)
	}
	return sum
}

func present(c Completion) int {
	if c.Tokens > 0 {
		return 1
	}
	return 0
}
