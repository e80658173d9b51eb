package score

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is an estimate with its confidence interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	N    int     `json:"n"`
}

// Bootstrap says how intervals are resampled. Zero fields take the defaults.
type Bootstrap struct {
	Resamples int     // 2,000
	Level     float64 // 0.95
	Seed      uint64
}

func (b Bootstrap) withDefaults() Bootstrap {
	if b.Resamples == 0 {
		b.Resamples = 2000
	}
	if b.Level == 0 {
		b.Level = 0.95
	}
	return b
}

// Mean returns the mean of values with its percentile bootstrap interval
// (Efron, 1979). Equal seeds give equal intervals. Of no values it is all 0.
func (b Bootstrap) Mean(values []float64) Interval {
	return b.Statistic(len(values), func(pick func(int) int) float64 {
		var sum float64
		for i := range values {
			sum += values[pick(i)]
		}
		return sum / float64(len(values))
	})
}

// Statistic returns a statistic of n items with its percentile bootstrap
// interval. compute must look at the items pick(0) to pick(n-1) only; the
// estimate itself picks every item once.
func (b Bootstrap) Statistic(n int, compute func(pick func(int) int) float64) Interval {
	if n == 0 {
		return Interval{}
	}
	b = b.withDefaults()
	random := rand.New(rand.NewPCG(b.Seed, bootstrapStream))
	items := make([]int, n)
	resampled := make([]float64, b.Resamples)
	for r := range resampled {
		for i := range items {
			items[i] = random.IntN(n)
		}
		resampled[r] = compute(func(i int) int { return items[i] })
	}
	slices.Sort(resampled)
	tail := (1 - b.Level) / 2
	return Interval{
		Mean: compute(func(i int) int { return i }),
		Low:  quantile(resampled, tail), High: quantile(resampled, 1-tail), N: n,
	}
}

// quantile interpolates between order statistics (Hyndman and Fan's type 7).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
