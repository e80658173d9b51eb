package generate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words decodes as a tokenizer of words does: a space between tokens, none before the first.
func words(ids []int32) string {
	var out []string
	for _, id := range ids {
		out = append(out, []string{"a", "bc", "abc", "c"}[id%4])
	}
	return strings.Join(out, " ")
}

// halves decodes two tokens to a character of two bytes.
func halves(ids []int32) string {
	var b []byte
	for i, id := range ids {
		if i%2 == 0 {
			b = append(b, 0xc3)
		} else {
			b = append(b, 0xa0+byte(id%4))
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// bytesOf decodes each token to a few letters.
func bytesOf(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString([]string{"a", "b", "ab", "ba", "aab", ""}[id%6])
	}
	return b.String()
}

func TestStopStringsAreFoundAcrossTokens(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 3000 {
		decode := []func([]int32) string{words, halves, bytesOf}[r.IntN(3)]
		var stops []string
		for range 1 + r.IntN(2) {
			stops = append(stops, []string{"aa", "bab", "c a", "abba", "à", "áâ", "c", "bb"}[r.IntN(8)])
		}
		w := &writer{decode: decode}
		var tokens []int32
		streamed := ""
		stopped := false
		for range 12 {
			tokens = append(tokens, r.Int32N(60))
			var certain string
			certain, stopped = w.add(tokens, stops)
			streamed += certain
			if stopped {
				break
			}
		}
		if !stopped {
			streamed += w.rest(tokens)
		}
		whole := decode(tokens)
		first := -1
		for _, s := range stops {
			if at := strings.Index(whole, s); at >= 0 && (first < 0 || at < first) {
				first = at
			}
		}
		require.Equal(t, first >= 0, stopped, "%q in %q", stops, whole)
		want := whole
		if stopped {
			found++
			want = whole[:first]
			require.True(t, strings.HasPrefix(whole[first:], w.stop))
			n := w.kept(tokens)
			require.LessOrEqual(t, len(decode(tokens[:n])), first)
			require.True(t, strings.HasPrefix(whole, decode(tokens[:n])))
		}
		require.Equal(t, want, streamed, "%q in %q", stops, whole)
		require.Equal(t, want, w.text.String())
	}
	require.Greater(t, found, 500)
}

func TestATextIsCutBeforeItsStopString(t *testing.T) {
	f := newFixture(t, "llama", Options{Decode: bytesOf})
	r := Request{Prompt: Tokens(5, 6), MaxTokens: 30, MinTokens: 3, Suppress: []int32{2}, Seed: 4, Top: 2, Search: Search{Temperature: 1}}
	free := writeOne(t, f.Generator, r)
	at := strings.Index(free.Text[4:], "ba") + 4
	require.Greater(t, at, 4, "%s", free.Text)

	var streamed strings.Builder
	var last Event
	r.Stop, r.MinTokens = []string{free.Text[:at+2][at-2:]}, 0
	r.OnToken = func(e Event) {
		streamed.WriteString(e.Text)
		last = e
	}
	at = strings.Index(free.Text, r.Stop[0])
	cut := writeOne(t, f.Generator, r)
	require.Equal(t, free.Text[:at], cut.Text)
	require.Equal(t, cut.Text, streamed.String())
	require.Equal(t, EndStop, cut.End)
	require.Equal(t, EndStop, last.End)
	require.LessOrEqual(t, len(bytesOf(cut.Tokens)), at)
	n := len(cut.Tokens)
	require.Equal(t, free.Tokens[:n], cut.Tokens)
	require.Equal(t, free.LogProbs[:n], cut.LogProbs)
	require.Equal(t, free.SampledLogProbs[:n], cut.SampledLogProbs)
	require.Equal(t, free.Top[:n], cut.Top)

	r.KeepStop, r.OnToken = true, nil
	kept := writeOne(t, f.Generator, r)
	require.Equal(t, cut.Text+r.Stop[0], kept.Text)
	require.True(t, strings.HasPrefix(bytesOf(kept.Tokens), kept.Text), "the last token may say more than the stop string")
	require.Len(t, kept.LogProbs, len(kept.Tokens))
}

func TestStopTokensAndTheLeastLength(t *testing.T) {
	f := newFixture(t, "gpt2", Options{})
	r := Request{Prompt: Tokens(5), MaxTokens: 30, Suppress: []int32{2}, Seed: 5, Search: Search{Temperature: 2}}
	free := writeOne(t, f.Generator, r).Tokens
	r.StopTokens = free[4:5]
	first := slices.Index(free, free[4])
	require.Positive(t, first)
	got := writeOne(t, f.Generator, r)
	require.Equal(t, free[:first], got.Tokens)
	require.Equal(t, EndStop, got.End)
	require.Len(t, got.LogProbs, first+1, "that of the stop token too")
	r.MinTokens = 20
	later := writeOne(t, f.Generator, r)
	require.GreaterOrEqual(t, len(later.Tokens), 20)
	require.NotContains(t, later.Tokens[:20], r.StopTokens[0])
}

func TestEveryTokenIsStreamed(t *testing.T) {
	f := newFixture(t, "blip", Options{Rows: 3, Decode: words})
	tokens := map[int][]int32{}
	texts := map[int]string{}
	ends := map[int]End{}
	r := Request{
		Image: f.image(1), Samples: 5, MaxTokens: 20, Search: Search{Temperature: 1},
		OnToken: func(e Event) {
			tokens[e.Sample] = append(tokens[e.Sample], e.Token)
			texts[e.Sample] += e.Text
			ends[e.Sample] = e.End
		},
	}
	for i, x := range write(t, f.Generator, r)[0].Texts {
		require.Equal(t, x.Tokens, tokens[i][:len(x.Tokens)])
		require.Len(t, tokens[i], len(x.LogProbs))
		require.Equal(t, x.Text, texts[i])
		require.Equal(t, x.End, ends[i])
		require.Equal(t, words(x.Tokens), x.Text)
	}
}
