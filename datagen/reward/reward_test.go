package reward_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/reward"
)

var sum = &example.Example{ID: "a", Prompt: example.Plain("47+85+36="), Problem: &example.Problem{Task: "arithmetic", Answer: "168"}}

func one(t *testing.T, term reward.Term, samples ...reward.Sample) []float64 {
	t.Helper()
	r, err := reward.Open([]reward.Term{term})
	require.NoError(t, err)
	scores, err := r.Score(t.Context(), samples)
	require.NoError(t, err)
	var out []float64
	for _, s := range scores {
		out = append(out, s.Total)
	}
	return out
}

func TestRewardsOfOneCompletion(t *testing.T) {
	const whole = "<think>7+5=12</think><answer>168</answer>"
	opened := &example.Example{Prompt: example.Plain("1+1=<think>")}
	sentence := &example.Example{Prompt: example.Plain("fox often :"), Problem: &example.Problem{Task: "rule", Facts: json.RawMessage(`{"topic":"fox"}`)}}
	for _, c := range []struct {
		name   string
		reward string
		params map[string]any
		sample reward.Sample
		want   float64
	}{
		{"a right answer", "accuracy", nil, reward.Sample{Example: sum, Text: whole, Ended: true}, 1},
		{"a wrong answer", "accuracy", nil, reward.Sample{Example: sum, Text: "<answer>167</answer>", Ended: true}, 0},
		{"a wrong answer that costs", "accuracy", map[string]any{"wrong": -1}, reward.Sample{Example: sum, Text: "", Ended: true}, -1},
		{"a right answer that was cut off", "accuracy", nil, reward.Sample{Example: sum, Text: whole}, 0},
		{"a right answer that may be cut off", "accuracy", map[string]any{"cut": true}, reward.Sample{Example: sum, Text: whole}, 1},
		{"a row without a problem", "accuracy", nil, reward.Sample{Example: opened, Text: whole, Ended: true}, 0},
		{"the format", "format", nil, reward.Sample{Example: sum, Text: whole, Ended: true}, 1},
		{"the format behind an opened thought", "format", nil, reward.Sample{Example: opened, Text: "x</think><answer>2</answer>", Ended: true}, 1},
		{"the format that was cut off", "format", nil, reward.Sample{Example: sum, Text: whole}, 0},
		{"no format", "format", nil, reward.Sample{Example: sum, Text: "168", Ended: true}, 0},
		{"English", "language", nil, reward.Sample{Text: "so we add 7 and 5"}, 1},
		{"English with Chinese between", "language", nil, reward.Sample{Text: "so we 加 them"}, 0.75},
		{"Chinese", "language", map[string]any{"language": "zh"}, reward.Sample{Text: "我们 ok"}, 2.0 / 3},
		{"the thinking counts alone", "language", map[string]any{"language": "zh"}, reward.Sample{Text: "<think>我们</think><answer>ok</answer>"}, 1},
		{"a language of words", "language", map[string]any{"words": []string{"so", "we"}}, reward.Sample{Text: "So we add"}, 2.0 / 3},
		{"no words", "language", nil, reward.Sample{Text: "7+5=12"}, 1},
		{"a short text is not overlong", "overlong", map[string]any{"max": 20, "cache": 10}, reward.Sample{Tokens: 10, Ended: true}, 0},
		{"a text in the cache", "overlong", map[string]any{"max": 20, "cache": 10}, reward.Sample{Tokens: 15, Ended: true}, -0.5},
		{"a text beyond the most", "overlong", map[string]any{"max": 20, "cache": 10}, reward.Sample{Tokens: 50, Ended: true}, -1},
		{"a text that was cut off at the budget", "overlong", nil, reward.Sample{Tokens: 48, Budget: 48}, -1},
		{"a text of the budget that ended", "overlong", nil, reward.Sample{Tokens: 48, Budget: 50, Ended: true}, -0.8},
		{"no repetition", "repetition", nil, reward.Sample{Text: "a b c d e"}, 0},
		{"repetition of words", "repetition", nil, reward.Sample{Text: "a b c a b c a b c"}, 3.0/7 - 1},
		{"repetition of characters", "repetition", map[string]any{"unit": "character", "n": 2}, reward.Sample{Text: "aaaaa"}, -0.75},
		{"too short to repeat", "repetition", nil, reward.Sample{Text: "a b"}, 0},
		{"the hidden rule", "rule", nil, reward.Sample{Example: sentence, Text: "the fox sees the king .", Ended: true}, 1.5},
		{"a sentence without an end", "rule", nil, reward.Sample{Example: sentence, Text: "the fox sees the king and", Ended: false}, -2},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.InDelta(t, c.want, one(t, reward.Term{Reward: c.reward, Weight: 1, Params: c.params}, c.sample)[0], 1e-9)
		})
	}
}

func TestTheLengthRewardComparesTheSamplesOfAPrompt(t *testing.T) {
	other := *sum
	text := func(e *example.Example, answer string, n int) reward.Sample {
		return reward.Sample{Example: e, Text: "<answer>" + answer + "</answer>", Tokens: n, Ended: true}
	}
	got := one(t, reward.Term{Reward: "length", Weight: 1},
		text(sum, "168", 10), text(sum, "168", 30), text(sum, "1", 10), text(sum, "1", 30), text(sum, "168", 20),
		text(&other, "168", 99), text(&other, "168", 99))
	require.Equal(t, []float64{0.5, -0.5, 0, -0.5, 0, 0, 0}, got)
}

func TestACompositionKeepsItsParts(t *testing.T) {
	r, err := reward.Open([]reward.Term{{Reward: "accuracy", Weight: 1}, {Reward: "format", Weight: 0.1}, {Reward: "repetition", Name: "stutter", Weight: 2, Params: map[string]any{"unit": "character", "n": 1}}})
	require.NoError(t, err)
	require.Equal(t, []string{"accuracy", "format", "stutter"}, r.Names())
	scores, err := r.Score(t.Context(), []reward.Sample{{Example: sum, Text: "<answer>168</answer>", Ended: true}})
	require.NoError(t, err)
	require.Equal(t, 1.0, scores[0].Parts["accuracy"])
	require.Equal(t, 0.0, scores[0].Parts["format"])
	require.Less(t, scores[0].Parts["stutter"], 0.0)
	require.InDelta(t, 1+2*scores[0].Parts["stutter"], scores[0].Total, 1e-12)

	broken := &reward.Rewards{}
	broken.Add("mine", 1, failing{})
	_, err = broken.Score(t.Context(), []reward.Sample{{Example: sum}})
	require.ErrorContains(t, err, "reward mine: no judge")
}

type failing struct{}

func (failing) Score(_ context.Context, _ []reward.Sample) ([]float64, error) {
	return nil, errors.New("no judge")
}

func TestWrongRewards(t *testing.T) {
	for _, c := range []struct {
		name  string
		terms []reward.Term
		want  string
	}{
		{"none", nil, "rewards is empty: give at least one of accuracy"},
		{"an unknown one", []reward.Term{{Reward: "beauty"}}, `no reward "beauty": use accuracy, format`},
		{"two of one name", []reward.Term{{Reward: "format"}, {Reward: "format"}}, "a name of its own"},
		{"an unknown parameter", []reward.Term{{Reward: "format", Params: map[string]any{"x": 1}}}, `unknown field "x"`},
		{"an unknown language", []reward.Term{{Reward: "language", Params: map[string]any{"language": "tlh"}}}, "give its words"},
		{"a cache larger than the whole", []reward.Term{{Reward: "overlong", Params: map[string]any{"max": 5, "cache": 6}}}, "cache no larger"},
		{"no n-grams", []reward.Term{{Reward: "repetition", Params: map[string]any{"n": 0}}}, "n is 0"},
		{"no program", []reward.Term{{Reward: "program"}}, "command is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := reward.Open(c.terms)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := reward.Open([]reward.Term{{Reward: "beauty"}, {Reward: "overlong", Params: map[string]any{"max": -1}}})
	require.Len(t, strings.Split(err.Error(), "\n"), 2, "all faults at once")
}
