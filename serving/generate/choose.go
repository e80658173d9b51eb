package generate

import (
	"math"
	"slices"
)

// uniform is draw number step of a seed, in [0, 1): the SplitMix64 sequence, a function of both alone.
func uniform(seed uint64, step int) float64 {
	return float64(draws(seed, step)>>11) / (1 << 53)
}

// draws are the bits of it.
func draws(seed uint64, step int) uint64 { return mix(seed + 0x9e3779b97f4a7c15*uint64(step)) }

// mix is a step of SplitMix64 (Steele et al. 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// likelier orders candidates from the likeliest; equal ones by token.
func likelier(a, b Candidate) int {
	switch {
	case a.LogProb > b.LogProb || a.LogProb == b.LogProb && a.Token < b.Token:
		return -1
	case a == b:
		return 0
	default:
		return 1
	}
}

// top returns the n likeliest tokens that are not hidden, the likeliest first.
func top(logProbs []float32, hidden tokenSet, n int) []Candidate {
	best := make([]Candidate, 0, n+1)
	for i, lp := range logProbs {
		if len(best) == n && lp <= best[n-1].LogProb || hidden[int32(i)] {
			continue
		}
		c := Candidate{int32(i), lp}
		at, _ := slices.BinarySearchFunc(best, c, likelier)
		best = slices.Insert(best, at, c)
		if len(best) > n {
			best = best[:n]
		}
	}
	return best
}

// likeliest is the token of the largest score that is not hidden, the first of equal ones. ok is false if there is none.
func likeliest(scores []float32, hidden tokenSet) (token int32, ok bool) {
	best := float32(math.Inf(-1))
	for i, s := range scores {
		if s > best && !hidden[int32(i)] {
			token, best, ok = int32(i), s, true
		}
	}
	return token, ok
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

// draw takes the token at u, in [0, 1), of the shares laid end to end, and tells its probability among them. ok is false if there is none.
func draw(set []share, u float64) (token int32, p float64, ok bool) {
	if len(set) == 0 {
		return 0, 0, false
	}
	var sum float64
	for _, x := range set {
		sum += float64(x.p)
	}
	u *= sum
	last := len(set) - 1
	for _, x := range set[:last] {
		if u < float64(x.p) {
			return x.token, float64(x.p) / sum, true
		}
		u -= float64(x.p)
	}
	return set[last].token, float64(set[last].p) / sum, true
}

// nucleus returns the tokens that sampling may draw: of the TopK likeliest, the fewest that hold TopP of their probability; of those, the ones at
// least MinP as likely as the likeliest. p are the probabilities at the request's temperature; tokens with 0 are left out. The result may lie in space.
func nucleus(p []float32, s Search, space *[]share) []share {
	var floor float32
	if s.TopP > 0 && s.TopP < 1 && s.TopK == 0 {
		// Tokens below the floor hold less than 1-TopP together: the nucleus is complete without them.
		floor = float32((1 - s.TopP) / float64(len(p)))
	}
	set := (*space)[:0]
	for i, v := range p {
		if v > 0 && v >= floor {
			set = append(set, share{int32(i), v})
		}
	}
	*space = set
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
	if s.MinP > 0 {
		set = likelyEnough(set, s.MinP)
	}
	return set
}

// likelyEnough are the shares of at least part of the largest.
func likelyEnough(set []share, part float64) []share {
	var most float32
	for _, x := range set {
		most = max(most, x.p)
	}
	least := float32(part * float64(most))
	return slices.DeleteFunc(set, func(x share) bool { return x.p < least })
}

// largest returns the fewest of the largest shares whose weights reach a target, in the order of their tokens. It counts them in buckets of a quarter
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
	var edge []share
	for _, x := range set {
		if bucket(x) == b {
			edge = append(edge, x)
		}
	}
	slices.SortFunc(edge, larger)
	n := 0
	for n < len(edge) && above < target {
		above += weight(edge[n])
		n++
	}
	return slices.DeleteFunc(set, func(x share) bool {
		at := bucket(x)
		return at < b || at == b && (n == 0 || larger(edge[n-1], x) < 0)
	})
}

// counts are the tokens that a text has: how often it wrote each, and which it or the prompt has. The zero value counts nothing.
type counts struct {
	written map[int32]int
	seen    []int32 // each token once, in the order of appearance
	has     map[int32]bool
}

func newCounts(prompt []int32) counts {
	c := counts{written: map[int32]int{}, has: map[int32]bool{}}
	for _, id := range prompt {
		if id >= 0 {
			c.see(id)
		}
	}
	return c
}

func (c *counts) see(id int32) {
	if !c.has[id] {
		c.has[id] = true
		c.seen = append(c.seen, id)
	}
}

func (c *counts) add(id int32) {
	if c.written == nil {
		return
	}
	c.written[id]++
	c.see(id)
}

// penalise changes the logits of what the text has; see Search.
func (c *counts) penalise(logits []float32, s Search) {
	for _, id := range c.seen {
		x := float64(logits[id])
		if r := s.RepetitionPenalty; r != 0 {
			if x > 0 {
				x /= r
			} else {
				x *= r
			}
		}
		if n := c.written[id]; n > 0 {
			x -= s.PresencePenalty + s.FrequencyPenalty*float64(n)
		}
		logits[id] = float32(x)
	}
}
