package generate

import (
	"cmp"
	"math"
	"slices"
)

// uniform is draw number step of a seed, in [0, 1): the SplitMix64 sequence, a function of both alone.
func uniform(seed uint64, step int) float64 {
	z := seed + 0x9e3779b97f4a7c15*uint64(step+1)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}

// candidate is a token and its log-probability under the model.
type candidate struct {
	token   int32
	logProb float32
}

// likelier orders candidates from the likeliest; equal ones by token.
func likelier(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.logProb, a.logProb), cmp.Compare(a.token, b.token))
}

// top returns the n likeliest tokens that are not suppressed, the likeliest first; NaN is no likelihood.
func top(logProbs []float32, suppress []bool, n int) []candidate {
	best := make([]candidate, 0, n+1)
	for i, lp := range logProbs {
		if suppress[i] || math.IsNaN(float64(lp)) || len(best) == n && lp <= best[n-1].logProb {
			continue
		}
		c := candidate{int32(i), lp}
		at, _ := slices.BinarySearchFunc(best, c, likelier)
		best = slices.Insert(best, at, c)
		if len(best) > n {
			best = best[:n]
		}
	}
	return best
}

// sample draws a token by the request's temperature and cuts. ok is false if no token has a likelihood.
func sample(logProbs []float32, suppress []bool, s Search, u float64) (c candidate, ok bool) {
	set := nucleus(logProbs, suppress, s)
	if len(set) == 0 {
		return candidate{}, false
	}
	best := set[0].logProb
	for _, c := range set {
		best = max(best, c.logProb)
	}
	weights := make([]float64, len(set))
	var sum float64
	for i, c := range set {
		weights[i] = math.Exp(float64(c.logProb-best) / s.Temperature)
		sum += weights[i]
	}
	u *= sum
	for i, w := range weights {
		if u < w {
			return set[i], true
		}
		u -= w
	}
	return set[len(set)-1], true
}

// nucleus returns the tokens that sampling may draw: of the TopK likeliest, the fewest whose share of the probability reaches TopP.
func nucleus(logProbs []float32, suppress []bool, s Search) []candidate {
	all := s.TopK == 0 || s.TopK >= len(logProbs)
	var set []candidate
	var total float64 // relative to the likeliest
	if all {
		set, total = candidates(logProbs, suppress, s)
		if s.TopP == 0 || s.TopP == 1 {
			return set
		}
		slices.SortFunc(set, likelier)
	} else {
		set = top(logProbs, suppress, s.TopK)
		if s.TopP == 0 || len(set) == 0 {
			return set
		}
		for _, c := range set {
			total += math.Exp(float64(c.logProb-set[0].logProb) / s.Temperature)
		}
	}
	var mass float64
	for i, c := range set {
		mass += math.Exp(float64(c.logProb-set[0].logProb) / s.Temperature)
		if mass >= s.TopP*total {
			return set[:i+1]
		}
	}
	return set
}

// candidates returns the tokens that can be in a nucleus of TopP, by token, and the probability of all tokens relative to the likeliest. Those
// left out have less than 1-TopP of the probability together: the nucleus is complete without them, and short to sort.
func candidates(logProbs []float32, suppress []bool, s Search) (set []candidate, total float64) {
	best := float32(math.Inf(-1))
	for i, lp := range logProbs {
		if !suppress[i] && lp > best {
			best = lp
		}
	}
	for i, lp := range logProbs {
		if !suppress[i] {
			total += math.Exp(float64(lp-best) / s.Temperature)
		}
	}
	floor := math.Inf(-1)
	if s.TopP > 0 && s.TopP < 1 {
		floor = math.Log((1-s.TopP)*total/float64(len(logProbs))) * s.Temperature
	}
	for i, lp := range logProbs {
		if !suppress[i] && float64(lp-best) >= floor {
			set = append(set, candidate{int32(i), lp})
		}
	}
	return set, total
}
