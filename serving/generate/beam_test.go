package generate

import (
	"cmp"
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// everyText lists all texts of up to most tokens after a prompt with their log-probabilities under the network.
func (f fixture) everyText(t *testing.T, prompt []int32, most int) []Text {
	t.Helper()
	var out []Text
	var extend func(x Text)
	extend = func(x Text) {
		logits := widened(f.rawLogits(t, append(slices.Clone(prompt), x.Tokens...)))
		for id, p := range softmax64(logits) {
			y := Text{Tokens: x.Tokens, LogProb: x.LogProb + math.Log(p), LogProbs: append(slices.Clone(x.LogProbs), float32(math.Log(p)))}
			switch {
			case int32(id) == f.config.Text.Special.EOS:
				y.End = EndEOS
				out = append(out, y)
			default:
				y.Tokens = append(slices.Clone(x.Tokens), int32(id))
				if len(y.Tokens) == most {
					y.End = EndLength
					out = append(out, y)
				} else {
					extend(y)
				}
			}
		}
	}
	extend(Text{})
	return out
}

func TestBeamsFindTheBestOfAllTexts(t *testing.T) {
	lengths := map[float64]int{}
	best := 0
	for _, penalty := range []float64{0, 1, 2} {
		c := forms()["gpt2"]
		c.Text.Vocab, c.Text.Special.EOS = 6, 3
		f := newFixtureOf(t, c, Options{})
		head, err := f.weights.Get("text.token")
		require.NoError(t, err)
		for i := range head {
			head[i] *= 0.2 // so that every token is likely somewhere
		}
		require.NoError(t, f.Load(context.Background(), f.weights.Get))
		for start := range int32(24) {
			prompt := []int32{start / 6, start % 6}
			all := f.everyText(t, prompt, 3)
			score := func(x Text) float64 { return x.LogProb / math.Pow(float64(len(x.LogProbs)), penalty) }
			slices.SortFunc(all, func(x, y Text) int { return cmp.Compare(score(y), score(x)) })
			// Beams as many as there are live texts before the last token keep them all; the most that half a vocabulary allows is three, which
			// find the best where it is among the three best at every step.
			got := write(t, f.Generator, Request{Prompt: Tokens(prompt...), MaxTokens: 3, Samples: 3, Search: Search{Beams: 3, LengthPenalty: penalty}})[0].Texts
			require.Len(t, got, 3)
			lengths[penalty] += len(got[0].LogProbs)
			want := plainBeams(all, 3, score)
			for i := range got {
				require.Equal(t, want[i].Tokens, got[i].Tokens, "penalty %v, start %d, text %d", penalty, start, i)
				require.InDelta(t, want[i].LogProb, got[i].LogProb, 1e-4)
				require.Equal(t, want[i].End, got[i].End)
			}
			if score(got[0]) > score(all[0])-1e-4 {
				best++
			}
		}
	}
	require.Greater(t, lengths[2], lengths[0], "a length penalty favours longer texts")
	require.Greater(t, best, 50, "of 72 searches")
}

// plainBeams is a beam search over a list of all texts: after every token it keeps the width likeliest beginnings that have not ended.
func plainBeams(all []Text, width int, score func(Text) float64) []Text {
	sum := func(x Text, n int) (s float64) {
		for _, lp := range x.LogProbs[:n] {
			s += float64(lp)
		}
		return s
	}
	live := [][]int32{nil}
	var ended []Text
	for n := 1; n <= 3; n++ {
		var next []Text // the texts' beginnings of n tokens, each once
		for _, x := range all {
			if len(x.LogProbs) < n {
				continue
			}
			y := Text{Tokens: x.Tokens[:min(n, len(x.Tokens))], LogProbs: x.LogProbs[:n], LogProb: sum(x, n)}
			if len(x.LogProbs) == n {
				y.End = x.End
			}
			grows := slices.ContainsFunc(live, func(l []int32) bool { return slices.Equal(l, y.Tokens[:min(n-1, len(y.Tokens))]) })
			known := slices.ContainsFunc(next, func(z Text) bool { return slices.Equal(z.Tokens, y.Tokens) && (z.End == EndEOS) == (y.End == EndEOS) })
			if grows && !known && len(y.Tokens) >= n-1 {
				next = append(next, y)
			}
		}
		slices.SortFunc(next, func(x, y Text) int { return cmp.Compare(y.LogProb, x.LogProb) })
		live = nil
		for rank, x := range next {
			switch {
			case x.End == EndEOS:
				if rank < width {
					ended = append(ended, x)
				}
			case len(live) < width:
				live = append(live, x.Tokens)
				if n == 3 {
					ended = append(ended, x)
				}
			}
		}
	}
	slices.SortStableFunc(ended, func(x, y Text) int { return cmp.Compare(score(y), score(x)) })
	return ended
}

func TestMoreBeamsScoreNoWorse(t *testing.T) {
	f := newFixture(t, "blip", Options{})
	better := 0
	for seed := range uint64(12) {
		r := Request{Image: f.image(seed), MaxTokens: 12}
		greedy := writeOne(t, f.Generator, r)
		r.Search.Beams = 1
		require.Equal(t, greedy, writeOne(t, f.Generator, r))
		r.Search.Beams = 4
		if wide := writeOne(t, f.Generator, r); wide.LogProb > greedy.LogProb+1e-6 {
			better++
		}
	}
	require.Positive(t, better, "four beams find a likelier text than greedy search for some image")
}
