package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
)

func TestSearchesAreComparedAtEqualTokens(t *testing.T) {
	s := newSchool(t)
	const params = `{"n": [1, 4], "methods": ["best", "likeliest", "majority", "weighted", "beam", "mcts"], "separator": "\\n", "branch": 2, "temperature": 1.5, "max_tokens": 16, "seed": 2}`
	res, err := s.run(execution{kind: searchKind(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
	require.NoError(t, err)
	m := res.Metrics
	require.Equal(t, m["best_4"], m["any_4"], "the oracle finds a right text where there is one")
	require.GreaterOrEqual(t, m["any_4"], m["majority_4"])
	require.Equal(t, m["best_1"], m["majority_1"])
	require.Greater(t, m["mcts_4"], m["likeliest_1"], "of one text, likeliest is no choice")
	require.Greater(t, m["beam_4"], m["likeliest_1"])
	tokens := map[string]float64{}
	for _, r := range s.evaluation(res.Outputs["evaluation"]).Tasks.Search {
		tokens[fmt.Sprintf("%s_%d", r.Method, r.N)] = r.Tokens
	}
	require.Equal(t, tokens["best_4"], tokens["majority_4"])
	require.InDelta(t, tokens["best_4"], tokens["mcts_4"], 0.5*tokens["best_4"])
	require.InDelta(t, tokens["best_4"], tokens["beam_4"], 0.5*tokens["best_4"])
	require.Contains(t, s.report(res.Outputs["evaluation"]), "accuracy over tokens")
	again, err := s.run(execution{kind: searchKind(), params: params, inputs: ports{"model": {s.trained}, "data": {s.problems}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, res, again)
}

// TestAModelThatJudgesPlugsInEverywhere trains judges on what the model wrote, and lets them judge rollouts, comparisons and searches.
func TestAModelThatJudgesPlugsInEverywhere(t *testing.T) {
	s := newSchool(t)
	labelled := s.output(execution{kind: rollout(), params: `{"samples": 24, "temperature": 1.5, "max_tokens": 16, "keep": "labels", "seed": 5}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}}, "examples")
	const learn = `{"learn": "labels", "readout": "sum", "scale": 0.3, "steps": 120, "batch": 32, "learning_rate": 0.004}`
	judge := s.output(execution{kind: rewardModel(), params: learn, inputs: ports{"model": {s.trained}, "data": {labelled}}, threads: 2}, "model")

	rows := s.rows(s.output(execution{kind: rollout(), params: `{"samples": 8, "temperature": 1.5, "max_tokens": 16, "reward_weight": 0.5}`, inputs: ports{"model": {s.trained}, "data": {s.problems}, "reward_model": {judge}}}, "examples"))
	var means [2]float64
	var n [2]float64
	for _, e := range rows {
		k := int(e.Rewards["accuracy"])
		means[k], n[k] = means[k]+e.Rewards["reward_model"], n[k]+1
		require.InDelta(t, *e.Score, e.Rewards["accuracy"]+0.5*e.Rewards["reward_model"], 1e-9)
	}
	require.Greater(t, means[1]/n[1], means[0]/n[0]+1, "right answers are worth more to it")

	e := s.evaluation(s.output(execution{kind: winRate(), params: `{"judge": "reward_model", "max_tokens": 16}`, inputs: ports{
		"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}, "reward_model": {judge},
	}}, "evaluation"))
	require.Greater(t, e.Metrics["win_rate"].Mean, 80.0)

	const searching = `{"n": [1, 8], "methods": ["best", "weighted", "beam", "mcts"], "separator": "\n", "verifier": "model", "branch": 2, "temperature": 1.5, "max_tokens": 16}`
	res, err := s.run(execution{kind: searchKind(), params: searching, inputs: ports{"model": {s.trained}, "data": {s.problems}, "verifier": {judge}}})
	require.NoError(t, err)
	require.Greater(t, res.Metrics["best_8"], res.Metrics["best_1"], "the judge chooses better than chance")
	again, err := s.run(execution{kind: searchKind(), params: searching, inputs: ports{"model": {s.trained}, "data": {s.problems}, "verifier": {judge}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, res, again)

	for _, c := range []struct {
		kind         Kind
		params, want string
		inputs       ports
	}{
		{searchKind(), searching, "there is no input verifier", ports{"model": {s.trained}, "data": {s.problems}}},
		{searchKind(), searching, "input verifier has no score head", ports{"model": {s.trained}, "data": {s.problems}, "verifier": {s.trained}}},
		{winRate(), `{"judge": "reward_model", "max_tokens": 4}`, "there is no input reward_model", ports{"model": {s.trained}, "baseline": {s.trained}, "data": {s.problems}}},
		{rollout(), `{"rewards": [], "max_tokens": 4}`, "rewards is empty", ports{"model": {s.trained}, "data": {s.problems}}},
	} {
		_, err := s.run(execution{kind: c.kind, params: c.params, inputs: c.inputs})
		require.ErrorContains(t, err, c.want)
	}
}

// TestAProcessVerifierJudgesStepsThatNothingSeparates learns from labelled steps of running sums and judges those of a search.
func TestAProcessVerifierJudgesStepsThatNothingSeparates(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for i := range 12 {
		rows = append(rows, generated(t, "running", `{"sums": 4}`, i))
	}
	problems := s.examples(rows...)
	stepped := s.output(execution{kind: rollout(), params: `{"samples": 4, "max_tokens": 6, "keep": "steps"}`, inputs: ports{"model": {s.untrained}, "data": {problems}}}, "examples")
	require.Equal(t, example.Stepwise, s.rows(stepped)[0].Form())
	verifier := s.output(execution{kind: rewardModel(), params: `{"learn": "steps", "separator": "", "steps": 4, "batch": 16}`, inputs: ports{"model": {s.untrained}, "data": {stepped}}}, "model")
	res, err := s.run(execution{kind: searchKind(), params: `{"n": [4], "separator": "", "step_tokens": 1, "verifier": "model", "max_tokens": 6}`, inputs: ports{"model": {s.untrained}, "data": {problems}, "verifier": {verifier}}})
	require.NoError(t, err)
	for _, method := range []string{"best_4", "majority_4", "weighted_4", "beam_4", "mcts_4"} {
		require.Contains(t, res.Metrics, method)
	}
	_, err = s.run(execution{kind: rollout(), params: `{"max_tokens": 6}`, inputs: ports{"model": {s.untrained}, "data": {problems}, "reward_model": {verifier}}})
	require.ErrorContains(t, err, "the reward model judges steps")
}
