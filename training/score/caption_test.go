package score_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/score"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		name, caption string
		want          []string
	}{
		{"case and punctuation go", "A red circle, above \"two\" (blue) squares!", []string{"a", "red", "circle", "above", "two", "blue", "squares"}},
		{"contractions split", "the dog's isn't it’s we'll", []string{"the", "dog", "'s", "is", "n't", "it", "'s", "we", "'ll"}},
		{"hyphens, decimals and thousands stay inside words", "t-shirt - 3.5 1,000. end-", []string{"t-shirt", "3.5", "1,000", "end"}},
		{"letters of any script are words", "größe 猫 naïve", []string{"größe", "猫", "naïve"}},
		{"nothing is no words", " ... ", nil},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, score.Tokens(c.caption)) })
	}
}

var references = [][]string{
	{"A red circle above a blue square.", "the red circle is over the blue square", "red circle on top of blue square"},
	{"two green triangles", "Two green triangles next to each other"},
	{"a small yellow star left of a big red heart", "a yellow star and a red heart"},
	{"a cat sits on the mat", "the cat is on the mat", "there is a cat on the mat", "a cat sitting on a mat"},
	{"a red circle"},
}

// The expected figures come from a program of its own, written after the COCO
// evaluation's cider_scorer and the BLEU paper.
func TestCaptionsAgainstTheReferenceProgram(t *testing.T) {
	corpus, err := score.NewCorpus(references)
	require.NoError(t, err)
	captions := []string{
		"a red circle above the blue square", "three green squares next to each other",
		"a yellow star left of a red heart in the sun", "the the the cat mat on a mat", "a blue square",
	}
	cider, err := corpus.CIDErD(captions)
	require.NoError(t, err)
	for i, want := range []float64{3.559476919272071, 2.548776176229085, 3.628965034418426, 1.5964714320386748, 0.050749541970214265} {
		require.InDelta(t, want, cider[i], 1e-12, "caption %d", i)
	}
	bleu, err := corpus.BLEU4(captions)
	require.NoError(t, err)
	require.InDelta(t, 0.43282070401684547, bleu.Score, 1e-12)
	for n, want := range []float64{0.75, 0.5806451612903226, 0.4230769230769231, 0.19047619047619047} {
		require.InDelta(t, want, bleu.Precisions[n], 1e-12)
	}
	short, err := corpus.BLEU4([]string{
		"a red circle above", "three green squares next", "a yellow star left of a red heart", "the the the cat mat", "a",
	})
	require.NoError(t, err)
	require.InDelta(t, 0.8337529180751805, short.Brevity, 1e-12)
	require.InDelta(t, 0.46920690655923036, short.Score, 1e-12)
}

func TestCaptionEdges(t *testing.T) {
	corpus, err := score.NewCorpus(references)
	require.NoError(t, err)
	t.Run("a single reference itself scores 10 and BLEU 1", func(t *testing.T) {
		one, err := score.NewCorpus([][]string{{"a red circle on blue"}, {"two small green dots"}})
		require.NoError(t, err)
		cider, err := one.CIDErD([]string{"A red circle on blue", "two small green dots"})
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{10, 10}, cider, 1e-12)
		bleu, err := one.BLEU4([]string{"a red circle on blue", "two small green dots"})
		require.NoError(t, err)
		require.InDelta(t, 1, bleu.Score, 1e-12)
	})
	t.Run("empty captions score 0", func(t *testing.T) {
		empty := make([]string, len(references))
		cider, err := corpus.CIDErD(empty)
		require.NoError(t, err)
		require.Equal(t, make([]float64, len(references)), cider)
		bleu, err := corpus.BLEU4(empty)
		require.NoError(t, err)
		require.Zero(t, bleu.Score)
	})
	t.Run("repeating a right word many times does not pay", func(t *testing.T) {
		cider, err := corpus.CIDErD([]string{"circle circle circle circle circle circle circle", "", "", "", ""})
		require.NoError(t, err)
		require.Less(t, cider[0], 1.0)
	})
	t.Run("a missing caption and a missing reference are errors", func(t *testing.T) {
		_, err := corpus.CIDErD([]string{"one"})
		require.ErrorContains(t, err, "1 captions for 5 images")
		_, err = score.NewCorpus([][]string{{"a"}, {}})
		require.ErrorContains(t, err, "image 1 has no reference")
	})
	t.Run("equal inputs give equal bits", func(t *testing.T) {
		captions := []string{"a red circle above the blue square", "two green", "a star", "cat on mat", "red"}
		first, err := corpus.CIDErD(captions)
		require.NoError(t, err)
		for range 20 {
			again, err := score.NewCorpus(references)
			require.NoError(t, err)
			scores, err := again.CIDErD(captions)
			require.NoError(t, err)
			for i := range first {
				require.Equal(t, math.Float64bits(first[i]), math.Float64bits(scores[i]))
			}
		}
	})
}
