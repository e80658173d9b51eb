package generate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheNucleusIsTheSmallestSetOfEnoughProbability(t *testing.T) {
	for _, c := range []struct {
		name   string
		search Search
		want   []int32
	}{
		{"half of the probability", Search{TopP: 0.5}, []int32{3, 1}},
		{"exactly one token", Search{TopP: 0.4}, []int32{3}},
		{"all of it", Search{TopP: 1}, []int32{3, 1, 0, 4, 2}},
		{"the two likeliest", Search{TopK: 2}, []int32{3, 1}},
		{"top-p within top-k", Search{TopK: 3, TopP: 0.6}, []int32{3, 1}},
		{"a top-k beyond the vocabulary", Search{TopK: 9}, []int32{3, 1, 0, 4, 2}},
		{"two fifths of the likeliest", Search{MinP: 0.4}, []int32{3, 1, 0}},
		{"top-p, then min-p", Search{TopP: 0.8, MinP: 0.43}, []int32{3, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []int32
			var space []share
			for _, x := range nucleus([]float32{0.19, 0.2, 0.06, 0.45, 0.1, 0}, c.search, &space) {
				got = append(got, x.token)
			}
			require.ElementsMatch(t, c.want, got)
		})
	}
}

func TestDrawsFollowTheirProbabilities(t *testing.T) {
	set := []share{{2, 0.4}, {0, 0.3}, {1, 0.1}}
	var hits [3]float64
	const n = 20000
	for i := range n {
		token, p, ok := draw(set, uniform(42, i))
		require.True(t, ok)
		require.InDelta(t, map[int32]float64{2: 0.5, 0: 0.375, 1: 0.125}[token], p, 1e-6)
		hits[token]++
	}
	for _, x := range set {
		require.InDelta(t, x.p/0.8, hits[x.token]/n, 0.015)
	}
	_, _, ok := draw(nil, 0.5)
	require.False(t, ok)
}

func TestTheNucleusOfAWideDistributionIsThatOfASort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		p := make([]float32, 300)
		var sum float32
		for i := range p {
			p[i] = float32(math.Exp(3 * r.NormFloat64()))
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		var space, other []share
		got := nucleus(p, Search{TopP: 0.8}, &space)
		all := nucleus(p, Search{}, &other)
		slices.SortFunc(all, larger)
		require.ElementsMatch(t, all[:len(got)], got)
		var mass float64
		for _, x := range all[:len(got)-1] {
			mass += float64(x.p)
		}
		require.Less(t, mass, 0.8, "one token fewer is not enough")
	}
}

func TestTemperatureSharpensAndHiddenTokensHaveNoShare(t *testing.T) {
	s := &sequence{engine: newEngine(t, 1), request: &Request{Search: Search{Temperature: 0.5}}}
	p := []float32{float32(math.Log(0.2)), float32(math.Log(0.5)), float32(math.Log(0.3))}
	s.spread(p, tokenSet{1: true})
	require.InDeltaSlice(t, []float32{0.04 / 0.13, 0, 0.09 / 0.13}, p, 1e-6)
}

func BenchmarkCaptions(b *testing.B) {
	c := forms()["blip tied"]
	c.Text.Vocab, c.Text.Context, c.Width = 2000, 24, 64
	c.Text.Width, c.Text.Hidden, c.Text.Heads, c.Text.KVHeads = 64, 256, 4, 4
	c.Vision.Image, c.Vision.Patch, c.Vision.Width, c.Vision.Heads = 32, 4, 64, 4
	f := newFixtureOf(b, c, Options{})
	var r []Request
	for i := range 256 {
		r = append(r, Request{Image: f.image(uint64(i)), Seed: uint64(i), Suppress: []int32{2}, Search: Search{Temperature: 1, TopP: 0.9}})
	}
	tokens := 0
	for b.Loop() {
		for _, x := range write(b, f.Generator, r...) {
			tokens += len(x.Texts[0].LogProbs)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
