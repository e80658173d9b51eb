package generate

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// chiSquare is the statistic of n draws against their distribution, and the number of its degrees of freedom.
func chiSquare(counts map[int32]int, p []float64, n int) (statistic float64, freedom int) {
	rest, restP := n, 1.0
	for id, q := range p {
		if e := q * float64(n); e >= 8 {
			d := float64(counts[int32(id)]) - e
			statistic += d * d / e
			freedom++
			rest -= counts[int32(id)]
			restP -= q
		}
	}
	if e := restP * float64(n); e >= 8 {
		d := float64(rest) - e
		return statistic + d*d/e, freedom
	}
	return statistic, freedom - 1
}

// plainDistribution is what a search draws the first token from, in float64, by the definitions.
func plainDistribution(logits []float64, prompt []int32, s Search) []float64 {
	x := slices.Clone(logits)
	for i := range x {
		if r := s.RepetitionPenalty; r != 0 && slices.Contains(prompt, int32(i)) {
			if x[i] > 0 {
				x[i] /= r
			} else {
				x[i] *= r
			}
		}
		x[i] /= s.Temperature
	}
	p := softmax64(x)
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if p[a] > p[b] {
			return -1
		}
		return 1
	})
	if s.TopK > 0 {
		order = order[:s.TopK]
	}
	var total, sum float64
	for _, i := range order {
		total += p[i]
	}
	for n, i := range order {
		if s.TopP > 0 && sum >= s.TopP*total {
			order = order[:n]
			break
		}
		sum += p[i]
	}
	kept := make([]float64, len(p))
	sum = 0
	for _, i := range order {
		if p[i] >= s.MinP*p[order[0]] {
			kept[i] = p[i]
			sum += p[i]
		}
	}
	for i := range kept {
		kept[i] /= sum
	}
	return kept
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func softmax64(x []float64) []float64 {
	top := slices.Max(x)
	var sum float64
	p := make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(v - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func TestDrawsFollowTheDistribution(t *testing.T) {
	c := forms()["gpt2"]
	c.Text.Vocab = 11
	f := newFixtureOf(t, c, Options{Rows: 256})
	prompt := []int32{1, 4, 4, 9}
	for _, s := range []Search{
		{Temperature: 1},
		{Temperature: 2.5},
		{Temperature: 1.5, TopK: 4},
		{Temperature: 3, TopP: 0.7},
		{Temperature: 3, MinP: 0.3},
		{Temperature: 3, TopK: 6, TopP: 0.9, MinP: 0.2},
		{Temperature: 2, RepetitionPenalty: 1.7},
	} {
		const n = 4000
		r := Request{Prompt: Tokens(prompt...), Samples: n, MaxTokens: 1, Seed: 3, Search: s, Top: 11}
		texts := write(t, f.Generator, r)[0].Texts
		want := plainDistribution(widened(f.rawLogits(t, prompt)), prompt, s)
		counts := map[int32]int{}
		for _, x := range texts {
			id := c.Text.Special.EOS
			if len(x.Tokens) > 0 {
				id = x.Tokens[0]
			}
			counts[id]++
			require.InDelta(t, math.Log(want[id]), x.SampledLogProbs[0], 1e-4)
		}
		statistic, freedom := chiSquare(counts, want, n)
		// Five standard deviations above the mean of a chi-square distribution.
		require.Less(t, statistic, float64(freedom)+5*math.Sqrt(2*float64(max(1, freedom))), "%+v: %v for %v", s, counts, want)
		for id := range counts {
			require.Positive(t, want[id], "%+v draws %d", s, id)
		}
	}
}

func TestPenaltiesLowerWhatWasWritten(t *testing.T) {
	c := counts{}
	c.add(3) // the zero value counts nothing
	require.Nil(t, c.seen)
	c = newCounts([]int32{2, -1, 0, 2})
	c.add(1)
	c.add(1)
	logits := []float32{2, -2, -1, 5}
	c.penalise(logits, Search{RepetitionPenalty: 2, PresencePenalty: 0.5, FrequencyPenalty: 0.25})
	require.Equal(t, []float32{1, -5, -2, 5}, logits)
}

func TestAFrequencyPenaltyEndsLoops(t *testing.T) {
	f := newFixture(t, "gpt2", Options{})
	r := Request{Prompt: Tokens(5), Suppress: []int32{2}, MaxTokens: 40}
	repeats := func(s Search) int {
		r.Search = s
		tokens := slices.Clone(writeOne(t, f.Generator, r).Tokens)
		slices.Sort(tokens)
		return len(tokens) - len(slices.Compact(tokens))
	}
	plain := repeats(Search{})
	require.Less(t, repeats(Search{FrequencyPenalty: 50}), plain)
	require.Less(t, repeats(Search{PresencePenalty: 50}), plain)
	require.Less(t, repeats(Search{RepetitionPenalty: 5}), plain)
}

func TestTopListsTheLikeliestTokens(t *testing.T) {
	f := newFixture(t, "llama", Options{})
	text := writeOne(t, f.Generator, Request{Prompt: Tokens(5, 6), MaxTokens: 20, Top: 4})
	require.Len(t, text.Top, len(text.LogProbs))
	for i, row := range text.Top {
		require.Len(t, row, 4)
		require.Equal(t, text.LogProbs[i], row[0].LogProb, "greedy search takes the likeliest")
		require.True(t, slices.IsSortedFunc(row, likelier))
	}
}

func TestAnotherSeedDrawsAnotherText(t *testing.T) {
	f := newFixture(t, "blip", Options{})
	texts := map[string]bool{}
	for seed := range uint64(10) {
		x := writeOne(t, f.Generator, Request{Image: f.image(1), Seed: seed, MaxTokens: 8, Search: Search{Temperature: 1}})
		texts[fmt.Sprint(x.Tokens)] = true
	}
	require.Greater(t, len(texts), 5)
}
