package score

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Paired is what two models say about each other by their values on the same items.
type Paired struct {
	Gap   Interval `json:"gap"`   // mean of model minus baseline, resampled by item
	P     float64  `json:"p"`     // chance of a gap at least as large if both were alike: sign-flip permutation test, two-sided
	Ahead int      `json:"ahead"` // items on which the model is better
	Equal int      `json:"equal"`
}

// permutationStream keeps the test's draws apart from the bootstrap's.
const permutationStream = 0x7065726d

// permutations of the test; the smallest p is one in so many.
const permutations = 10000

// ComparePaired compares values of the same items. Equal seeds give equal results.
func ComparePaired(model, baseline []float64, b Bootstrap) (Paired, error) {
	if len(model) != len(baseline) || len(model) == 0 {
		return Paired{}, fmt.Errorf("compare items: %d values of the model and %d of the baseline: want pairs", len(model), len(baseline))
	}
	p, gaps := Paired{P: 1}, make([]float64, len(model))
	sum, differ := 0.0, []float64{}
	for i := range model {
		gaps[i] = model[i] - baseline[i]
		sum += gaps[i]
		switch {
		case gaps[i] == 0:
			p.Equal++
			continue
		case gaps[i] > 0:
			p.Ahead++
		}
		differ = append(differ, gaps[i])
	}
	p.Gap = b.Mean(gaps)
	if len(differ) == 0 {
		return p, nil
	}
	random := rand.New(rand.NewPCG(b.Seed, permutationStream))
	extreme, bits := 0, uint64(0)
	for range permutations {
		flipped := 0.0
		for i, g := range differ {
			if i%64 == 0 {
				bits = random.Uint64()
			}
			if bits>>(i%64)&1 == 1 {
				g = -g
			}
			flipped += g
		}
		if math.Abs(flipped) >= math.Abs(sum)-1e-12 {
			extreme++
		}
	}
	p.P = float64(extreme+1) / (permutations + 1)
	return p, nil
}

// WinRate is the share of comparisons that were won, ties half, with Wilson's interval (1927) of 95 %, which does not shrink to nothing where all were won.
func WinRate(wins, ties, losses int) Interval {
	n := float64(wins + ties + losses)
	if n == 0 {
		return Interval{}
	}
	const z = 1.959963984540054
	p := (float64(wins) + float64(ties)/2) / n
	middle, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return Interval{Mean: p, Low: max(0, (middle-half)/(1+z*z/n)), High: min(1, (middle+half)/(1+z*z/n)), N: int(n)}
}
