package policy

import "math"

// Importance corrects for samples of a policy that is a step behind the one that learns, or that another implementation computed: the loss of a
// token is multiplied by min(Most, old / sampled) (truncated importance sampling, Yao et al. 2025; Espeholt et al. 2018).
type Importance struct{ Most float64 }

// Weights takes the logarithms of the probabilities before the update and of those that were sampled by.
func (i Importance) Weights(old, sampled []float64) []float64 {
	out := make([]float64, len(old))
	for t := range out {
		out[t] = min(i.Most, math.Exp(old[t]-sampled[t]))
	}
	return out
}
