package generate

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Reinforcement learning divides the probabilities of training and of decoding: they must be the same function of the weights.
func TestLogProbabilitiesEqualTheTrainingGraphs(t *testing.T) {
	for form, c := range forms() {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{Prefill: 32})
			for name, s := range map[string]Search{"greedy": {}, "beams": {Beams: 3, LengthPenalty: 1}, "nucleus": {Temperature: 1.5, TopP: 0.9}} {
				for seed := range uint64(2) {
					image := f.image(seed)
					prompt := []int32{1, 7, 30}
					if seed == 1 {
						for i := range int32(40) {
							prompt = append(prompt, i*i%53)
						}
					}
					got := write(t, f.Generator, Request{Image: image, Prompt: f.prompt(prompt...), Seed: seed, Search: s, PromptLogProbs: true})[0]
					written := got.Texts[0]
					whole := append(slices.Clone(prompt), written.Tokens...)
					if written.End == EndEOS {
						whole = append(whole, c.Text.Special.EOS)
					}
					text := f.prompt(whole...)
					want := f.graphLogProbs(t, image, text)
					all := append(slices.Clone(got.PromptLogProbs[1:]), written.LogProbs...)
					require.Len(t, all, len(want), name)
					var sum float64
					for i, w := range want {
						require.InDelta(t, w, all[i], 1e-4, "%s: token %d", name, i+1)
						if i >= len(want)-len(written.LogProbs) {
							sum += w
						}
					}
					require.InDelta(t, sum, written.LogProb, 1e-3)

					scores, err := f.Score(context.Background(), []Scored{{Text: text, Image: image}})
					require.NoError(t, err)
					require.Equal(t, all, scores[0][1:], "%s: scoring a text gives the bits of writing it", name)
				}
			}
		})
	}
}
