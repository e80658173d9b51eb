package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func labels(a axis) []string {
	var all []string
	for _, t := range a.ticks {
		all = append(all, t.Label)
	}
	return all
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name string
		axis axis
		want []string
	}{
		{"are round", linear(0.3, 5.1, 6), []string{"0", "1", "2", "3", "4", "5", "6"}},
		{"have the decimals they need", linear(37.1, 38.2, 5), []string{"37.00", "37.25", "37.50", "37.75", "38.00", "38.25"}},
		{"cross zero", linear(-1, 1, 4), []string{"−1.0", "−0.5", "0", "0.5", "1.0"}},
		{"of large numbers are short", linear(0, 40000, 4), []string{"0", "10k", "20k", "30k", "40k"}},
		{"of millions are short", linear(0, 3e6, 3), []string{"0", "1M", "2M", "3M"}},
		{"of one value surround it", linear(2, 2, 4), []string{"1.90", "1.95", "2.00", "2.05", "2.10"}},
		{"of two decades have steps", logarithmic(0.5, 20), []string{"0.5", "1", "2", "5", "10", "20"}},
		{"of many decades are powers", logarithmic(1e-6, 1), []string{"1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "1"}},
		{"of time are minutes", timeAxis(290), []string{"0 min", "1 min", "2 min", "3 min", "4 min", "5 min"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, labels(c.axis))
			placed := c.axis.span(100, 300)
			require.Equal(t, "300", pixel(placed.pixel(c.axis.high)))
			require.Equal(t, "100", pixel(placed.pixel(c.axis.low)))
		})
	}
}

func TestDurationsReadWell(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0 s", 0.44: "0.4 s", 9.96: "10 s", 119: "119 s", 120: "2 min 00 s", 3599.6: "60 min 00 s", 7260: "2 h 01 min"} {
		require.Equal(t, want, Duration(seconds))
	}
}

func TestThinningKeepsSpikesAndEnds(t *testing.T) {
	const n, spike = 100_000, 54_321
	run, y := make([]int, n), make([]float64, n)
	for i := range n {
		run[i], y[i] = i, math.Sin(float64(i)/1000)
	}
	y[spike] = 50
	kept := thin(run, y)
	require.LessOrEqual(t, len(kept), 4*buckets)
	require.Contains(t, kept, spike)
	require.Equal(t, []int{0, n - 1}, []int{kept[0], kept[len(kept)-1]})
	require.IsIncreasing(t, kept)
}
