package generate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func logs(p ...float64) []float32 {
	out := make([]float32, len(p))
	for i, v := range p {
		out[i] = float32(math.Log(v))
	}
	return out
}

func TestTheNucleusIsTheSmallestSetOfEnoughProbability(t *testing.T) {
	for _, c := range []struct {
		name     string
		search   Search
		suppress []bool
		want     []int32
	}{
		{"half of the probability", Search{Temperature: 1, TopP: 0.5}, make([]bool, 5), []int32{3, 1}},
		{"exactly one token", Search{Temperature: 1, TopP: 0.4}, make([]bool, 5), []int32{3}},
		{"nearly all of it", Search{Temperature: 1, TopP: 0.99}, make([]bool, 5), []int32{3, 1, 0, 4, 2}},
		{"the rest of a suppressed token", Search{Temperature: 1, TopP: 0.5}, []bool{false, false, false, true, false}, []int32{1, 0}},
		{"the two likeliest", Search{Temperature: 1, TopK: 2}, make([]bool, 5), []int32{3, 1}},
		{"top-p within top-k", Search{Temperature: 1, TopK: 3, TopP: 0.6}, make([]bool, 5), []int32{3, 1}},
		{"a high temperature widens it", Search{Temperature: 10, TopP: 0.5}, make([]bool, 5), []int32{3, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []int32
			for _, x := range nucleus(logs(0.19, 0.2, 0.06, 0.45, 0.1), c.suppress, c.search) {
				got = append(got, x.token)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestSamplesFollowTheirProbabilities(t *testing.T) {
	lp := logs(0.1, 0.2, 0.3, 0.4)
	var hits [4]float64
	const n = 20000
	for i := range n {
		c, ok := sample(lp, make([]bool, 4), Search{Temperature: 1}, uniform(42, i))
		require.True(t, ok)
		hits[c.token]++
	}
	for i, h := range hits {
		require.InDelta(t, float64(i+1)/10, h/n, 0.015)
	}
}

func TestCuttingTheTailEarlyLeavesTheNucleusAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		p := make([]float64, 300)
		var sum float64
		for i := range p {
			p[i] = math.Exp(3 * r.NormFloat64())
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		s := Search{Temperature: 0.5 + r.Float64(), TopP: 0.8}
		got := nucleus(logs(p...), make([]bool, len(p)), s)
		all := top(logs(p...), make([]bool, len(p)), len(p))
		require.Equal(t, all[:len(got)], got)
		var total, mass float64
		for i, c := range all {
			w := math.Exp(float64(c.logProb) / s.Temperature)
			total += w
			if i < len(got)-1 {
				mass += w
			}
		}
		require.Less(t, mass, s.TopP*total, "one token fewer is not enough")
	}
}

func BenchmarkCaptions(b *testing.B) {
	c := config("blip", true)
	c.Text.Vocab, c.Text.Context, c.Width = 2000, 24, 64
	c.Text.Width, c.Text.Hidden, c.Text.Heads = 64, 256, 4
	c.Vision.Image, c.Vision.Patch, c.Vision.Width, c.Vision.Heads = 32, 4, 64, 4
	f := newFixture(b, c, Options{})
	var r []Request
	for i := range 256 {
		r = append(r, Request{Image: f.image(uint64(i)), Seed: uint64(i), Suppress: []int32{2}, Search: Search{Temperature: 1, TopP: 0.9}})
	}
	tokens := 0
	for b.Loop() {
		for _, x := range f.generate(b, r...) {
			tokens += len(x.LogProbs)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
