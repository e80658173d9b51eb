package generate

import (
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
	switch {
	case a.logProb > b.logProb || a.logProb == b.logProb && a.token < b.token:
		return -1
	case a == b:
		return 0
	default:
		return 1
	}
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

// share is a token and its part of the probability that sampling divides.
type share struct {
	token int32
	p     float32
}

// larger orders shares from the largest; equal ones by token.
func larger(a, b share) int {
	switch {
	case a.p > b.p || a.p == b.p && a.token < b.token:
		return -1
	default:
		return 1
	}
}

// draw takes the token at u, in [0, 1), of the shares laid end to end. ok is false if there is none.
func draw(set []share, u float64) (token int32, ok bool) {
	if len(set) == 0 {
		return 0, false
	}
	var sum float64
	for _, x := range set {
		sum += float64(x.p)
	}
	u *= sum
	for _, x := range set {
		if u < float64(x.p) {
			return x.token, true
		}
		u -= float64(x.p)
	}
	return set[len(set)-1].token, true
}

// nucleus returns the tokens that sampling may draw: of the TopK likeliest, the fewest that hold TopP of their probability. p are the
// probabilities at the request's temperature; tokens with 0 are left out.
func nucleus(p []float32, s Search) []share {
	var floor float32
	if s.TopP > 0 && s.TopP < 1 && s.TopK == 0 {
		// Tokens below the floor hold less than 1-TopP together: the nucleus is complete without them.
		floor = float32((1 - s.TopP) / float64(len(p)))
	}
	var set []share
	for i, v := range p {
		if v > 0 && v >= floor {
			set = append(set, share{int32(i), v})
		}
	}
	if s.TopK > 0 && s.TopK < len(set) {
		set = largest(set, float64(s.TopK), func(share) float64 { return 1 })
	}
	if s.TopP > 0 && s.TopP < 1 {
		total := 1.0
		if s.TopK > 0 {
			total = 0
			for _, x := range set {
				total += float64(x.p)
			}
		}
		set = largest(set, s.TopP*total, func(x share) float64 { return float64(x.p) })
	}
	return set
}

// largest returns the fewest of the largest shares whose weights reach a target, in a fixed order. It counts them in buckets of a quarter
// octave and sorts the one in which the target lies.
func largest(set []share, target float64, weight func(share) float64) []share {
	bucket := func(x share) int { return int(math.Float32bits(min(x.p, 1)) >> 21) }
	var sums [math.MaxUint8 << 1]float64 // of every bucket up to that of 1
	for _, x := range set {
		sums[bucket(x)] += weight(x)
	}
	b, above := len(sums)-1, 0.0
	for ; b > 0 && above+sums[b] < target; b-- {
		above += sums[b]
	}
	var kept, edge []share
	for _, x := range set {
		switch at := bucket(x); {
		case at > b:
			kept = append(kept, x)
		case at == b:
			edge = append(edge, x)
		}
	}
	slices.SortFunc(edge, larger)
	for _, x := range edge {
		if above >= target {
			break
		}
		above += weight(x)
		kept = append(kept, x)
	}
	return kept
}
