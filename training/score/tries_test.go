package score

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPassAtKIsTheShareOfDrawsThatHoldARightTry(t *testing.T) {
	for _, c := range []struct {
		n, c, k int
		want    float64
	}{
		{10, 3, 1, 0.3},
		{10, 0, 5, 0},
		{10, 10, 1, 1},
		{10, 3, 8, 1},
		{4, 1, 2, 0.5},
		{200, 7, 100, 0.99299}, // 1 - C(193,100)/C(200,100)
	} {
		t.Run(fmt.Sprintf("%d of %d, %d drawn", c.c, c.n, c.k), func(t *testing.T) {
			got, err := PassAtK(c.n, c.c, c.k)
			require.NoError(t, err)
			require.InDelta(t, c.want, got, 1e-4)
		})
	}
	// Against drawing k of the tries at random.
	r := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 20000 {
		for _, i := range r.Perm(12)[:4] {
			if i < 2 {
				hits++
				break
			}
		}
	}
	got, err := PassAtK(12, 2, 4)
	require.NoError(t, err)
	require.InDelta(t, float64(hits)/20000, got, 0.015)
	for _, bad := range [][3]int{{4, 1, 5}, {4, 1, 0}, {4, 5, 1}, {4, -1, 1}} {
		_, err := PassAtK(bad[0], bad[1], bad[2])
		require.Error(t, err)
	}
}

func TestTheMajority(t *testing.T) {
	for _, c := range []struct {
		name  string
		votes []Vote
		want  string
	}{
		{"the most votes", []Vote{{"a", 1}, {"b", 1}, {"b", 1}}, "b"},
		{"the first of equal ones", []Vote{{"b", 1}, {"a", 1}, {"a", 1}, {"b", 1}}, "b"},
		{"no answer is no vote", []Vote{{"", 1}, {"", 1}, {"a", 1}}, "a"},
		{"nobody votes", []Vote{{"", 1}}, ""},
		{"weights count", []Vote{{"a", 0.9}, {"b", 0.3}, {"b", 0.4}}, "a"},
		{"weights may be negative", []Vote{{"a", -5}, {"b", -1}, {"b", -1}}, "b"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Majority(c.votes)) })
	}
}

func TestSlicesAreMeansOfTheirOwn(t *testing.T) {
	rows, err := Slices([]string{"b", "a", "b", ""}, []float64{1, 0, 0, 1}, Bootstrap{})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, "a", rows[0].Name)
	require.Equal(t, 0.5, rows[1].Mean)
	require.Equal(t, 2, rows[1].N)
	_, err = Slices([]string{"a"}, nil, Bootstrap{})
	require.Error(t, err)
}

func TestPairedItemsTellWhatMeansAloneDoNot(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	hard := make([]float64, 200)
	better, same := make([]float64, 200), make([]float64, 200)
	for i := range hard {
		hard[i] = r.Float64()
		better[i] = hard[i] + 0.02 + 0.05*r.NormFloat64()
		same[i] = hard[i] + 0.05*r.NormFloat64()
	}
	gain, err := ComparePaired(better, hard, Bootstrap{Seed: 1})
	require.NoError(t, err)
	require.Less(t, gain.P, 0.01)
	require.Positive(t, gain.Gap.Low)
	none, err := ComparePaired(same, hard, Bootstrap{Seed: 1})
	require.NoError(t, err)
	require.Greater(t, none.P, 0.05)
	equal, err := ComparePaired(hard, hard, Bootstrap{})
	require.NoError(t, err)
	require.Equal(t, Paired{P: 1, Equal: 200, Gap: Interval{N: 200}}, equal)
	_, err = ComparePaired(hard, hard[1:], Bootstrap{})
	require.Error(t, err)
}

func TestTheTestFindsNothingAsOftenAsItShould(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	found := 0
	for range 200 {
		a, b := make([]float64, 30), make([]float64, 30)
		for i := range a {
			a[i], b[i] = float64(r.IntN(2)), float64(r.IntN(2))
		}
		p, err := ComparePaired(a, b, Bootstrap{Resamples: 10})
		require.NoError(t, err)
		if p.P <= 0.05 {
			found++
		}
	}
	require.LessOrEqual(t, found, 20, "of 200, 5 % are 10")
}

func TestWinRates(t *testing.T) {
	require.Equal(t, Interval{}, WinRate(0, 0, 0))
	all := WinRate(10, 0, 0)
	require.Equal(t, 1.0, all.Mean)
	require.InDelta(t, 0.7225, all.Low, 1e-3)
	require.Equal(t, 1.0, all.High)
	half := WinRate(40, 20, 40)
	require.Equal(t, 0.5, half.Mean)
	require.InDelta(t, 0.4038, half.Low, 1e-3)
	require.InDelta(t, 0.5962, half.High, 1e-3)
}

func TestCalibration(t *testing.T) {
	c, err := Calibrate([]float64{0.9, 0.9, 0.9, 0.9, 0.3, 1}, []bool{true, true, false, false, false, true}, 10)
	require.NoError(t, err)
	// The bin of 0.9 holds the certain one too: 5 items, mean 0.92, 3 right.
	require.InDelta(t, (5*(0.92-0.6)+0.3)/6, c.Error, 1e-9)
	require.InDelta(t, 0.32, c.Worst, 1e-9)
	require.InDelta(t, (2*0.01+2*0.81+0.09)/6, c.Brier, 1e-9)
	require.Len(t, c.Bins, 2)
	for _, bad := range []float64{-0.1, 1.1} {
		_, err := Calibrate([]float64{bad}, []bool{true}, 10)
		require.Error(t, err)
	}
}

func TestChoosingByEachMeasure(t *testing.T) {
	got, err := Choose([]Choice{{-4, 2, 4}, {-5, 5, 4}, {-6, 2, 12}})
	require.NoError(t, err)
	require.Equal(t, 0, got.Likeliest)
	require.Equal(t, 1, got.PerToken)
	require.Equal(t, 2, got.PerByte)
	require.InDelta(t, 0.665, got.Sure, 1e-3)
	for _, bad := range [][]Choice{nil, {{1, 1, 1}}, {{-1, 0, 1}}} {
		_, err := Choose(bad)
		require.Error(t, err)
	}
}
