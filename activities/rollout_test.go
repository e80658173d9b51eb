package activities

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

func TestARolloutKeepsWhatIsAsked(t *testing.T) {
	s := newSchool(t)
	const common = `"samples": 6, "max_tokens": 16, "seed": 1, "temperature": 1.5, "rewards": [{"reward": "accuracy", "weight": 1}, {"reward": "format", "weight": 0.5}]`
	roll := func(more string) (*stage.Result, []*example.Example) {
		res, err := s.run(execution{kind: rollout(), params: `{` + common + more + `}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
		require.NoError(t, err)
		rows := s.rows(res.Outputs["examples"])
		require.Equal(t, float64(len(rows)), res.Metrics["kept"])
		return res, rows
	}
	right := func(e *example.Example, text *example.Text) bool { return task.Check(e.Problem, text.String()).Right }

	res, all := roll(``)
	require.Len(t, all, 24*6)
	solved := 0
	for _, e := range all {
		require.Equal(t, example.Completed, e.Form())
		require.InDelta(t, *e.Score, e.Rewards["accuracy"]+0.5*e.Rewards["format"], 1e-12)
		if e.Rewards["accuracy"] == 1 {
			require.True(t, right(e, e.Completion))
			solved++
		}
	}
	require.Equal(t, float64(solved), res.Metrics["right"])
	require.Positive(t, solved)
	require.Less(t, solved, 24*6, "at this temperature it errs sometimes")

	_, kept := roll(`, "keep": "right", "distinct": true, "per_prompt": 2`)
	counts := map[string]int{}
	for _, e := range kept {
		require.True(t, right(e, e.Completion))
		counts[e.Prompt.String()]++
		require.LessOrEqual(t, counts[e.Prompt.String()], 2)
	}
	_, best := roll(`, "keep": "best"`)
	require.Len(t, best, 24)
	_, labels := roll(`, "keep": "labels"`)
	require.Len(t, labels, 24*6)
	require.Equal(t, example.Labelled, labels[0].Form())
	_, pairs := roll(`, "keep": "pairs", "margin": 1, "per_prompt": 1`)
	require.NotEmpty(t, pairs)
	for _, e := range pairs {
		require.Equal(t, example.Preference, e.Form())
		require.GreaterOrEqual(t, e.Margin, 1.0)
		require.True(t, right(e, e.Chosen))
		require.False(t, right(e, e.Rejected))
	}
	_, noisy := roll(`, "keep": "pairs", "margin": 1, "per_prompt": 1, "noise": 1e9`)
	require.Len(t, noisy, len(pairs))
	require.True(t, slices.ContainsFunc(noisy, func(e *example.Example) bool { return e.Margin < 0 }), "a judge who knows nothing errs")
	_, err := s.run(execution{kind: rollout(), params: `{` + common + `, "keep": "steps"}`, inputs: ports{"model": {s.trained}, "data": {s.problems}}})
	require.ErrorContains(t, err, "no completion of 24 prompts is kept (keep: steps", "counting has no steps")
}

func TestARolloutInShardsIsThatOfTheWhole(t *testing.T) {
	s := newSchool(t)
	rows := s.rows(s.problems)
	parts := []artifact.Artifact{s.examples(rows[:10]...), s.examples(rows[10:]...)}
	joined, err := example.Join(t.Context(), s.store, "all", parts)
	require.NoError(t, err)
	const params = `{"samples": 2, "max_tokens": 16}`
	whole, err := s.run(execution{kind: rollout(), params: params, inputs: ports{"model": {s.trained}, "data": {joined}}})
	require.NoError(t, err)
	var made []artifact.Artifact
	sums := map[string]float64{}
	for i := range 2 {
		resolved, err := rollout().Check([]byte(params))
		require.NoError(t, err)
		k := &Task{
			Request: stage.Request{Params: resolved, Inputs: ports{"model": {s.trained}, "data": {joined}}, Shard: &stage.Shard{Index: i, Count: 2}},
			Store:   s.store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(), Threads: 1, Checkpoints: nowhere{}, Progress: func(Progress) {}, Result: &stage.Result{},
		}
		require.NoError(t, rollout().Run(t.Context(), k))
		made = append(made, k.Result.Outputs["examples"])
		for name, v := range k.Result.Metrics {
			sums[name] += v
		}
	}
	all, err := example.Join(t.Context(), s.store, "rollout", made)
	require.NoError(t, err)
	require.Equal(t, s.rows(whole.Outputs["examples"]), s.rows(all))
	require.Equal(t, whole.Metrics, sums)
	files, err := shardsOf(t.Context(), s.store, rollout().Describe(), ports{"data": {joined}})
	require.NoError(t, err)
	require.Len(t, files, 2)
}

func TestSamplingGoesOnWhereAStoppedWorkerLeftIt(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for i := range 2*chunk + 1 {
		two := 1
		rows = append(rows, &example.Example{ID: fmt.Sprint(i), Prompt: example.Plain(fmt.Sprint(i % 7)), Choices: []string{"a", "bc"}, Choice: &two})
	}
	for _, c := range []struct {
		kind   Kind
		params string
		inputs ports
	}{
		{rollout(), `{"samples": 64, "max_tokens": 12}`, ports{"model": {s.trained}, "data": {s.problems}}},
		{evaluateTasks(), `{"samples": 64, "max_tokens": 12, "greedy": true, "k": [1, 64]}`, ports{"model": {s.trained}, "data": {s.problems}}},
		{winRate(), `{"samples": 64, "max_tokens": 12}`, ports{"model": {s.trained}, "baseline": {s.untrained}, "data": {s.problems}}},
		{evaluateChoices(), `{}`, ports{"model": {s.trained}, "data": {s.examples(rows...)}}},
		{searchKind(), `{"n": [64], "methods": ["best", "beam", "mcts"], "separator": "\n", "branch": 16, "temperature": 1.5, "max_tokens": 12}`, ports{"model": {s.trained}, "data": {s.problems}}},
	} {
		t.Run(c.kind.Describe().Name, func(t *testing.T) {
			s := &workshop{t, s.store}
			whole, err := s.run(execution{kind: c.kind, params: c.params, inputs: c.inputs})
			require.NoError(t, err)
			resolved, err := c.kind.Check([]byte(c.params))
			require.NoError(t, err)
			stopping := make(chan struct{})
			close(stopping) // each attempt does a part, such as 16 prompts of 64 samples, and is stopped
			kept, attempts := &points{}, 0
			for err = ErrStopped; err != nil; attempts++ {
				require.ErrorIs(t, err, ErrStopped)
				require.Less(t, attempts, 60)
				k := &Task{
					Request: stage.Request{Kind: c.kind.Describe().Name, Params: resolved, Inputs: c.inputs, Key: "key"}, Store: s.store, Log: slog.New(slog.DiscardHandler),
					Scratch: t.TempDir(), Threads: 1, Checkpoints: kept, Progress: func(Progress) {}, Result: &stage.Result{}, Stopping: stopping,
				}
				if err = c.kind.Run(t.Context(), k); err == nil {
					require.Equal(t, whole, k.Result)
				}
			}
			require.Greater(t, attempts, 2)
		})
	}
}

func TestARowThatTheModelCannotWriteToIsLeftOut(t *testing.T) {
	s := newSchool(t)
	rows := s.rows(s.problems)[:3]
	long, talk := *rows[0], *rows[1]
	long.ID, long.Prompt = "long", example.Plain(strings.Repeat("a", 60))
	talk.ID, talk.Prompt = "talk", example.Chat(example.Say("user", "a in ab?"))
	res, err := s.run(execution{kind: rollout(), params: `{"max_tokens": 8}`, inputs: ports{"model": {s.trained}, "data": {s.examples(&long, rows[2], &talk)}}})
	require.NoError(t, err)
	require.Equal(t, 1.0, res.Metrics["prompts"])
	require.Len(t, res.Quarantined, 2)
	require.Contains(t, res.Quarantined[0].Reason, "has 61 tokens, and the context of 48 leaves no room")
	require.Contains(t, res.Quarantined[1].Reason, "no chat template")
	_, err = s.run(execution{kind: rollout(), params: `{}`, inputs: ports{"model": {s.trained}, "data": {s.examples(&talk)}}})
	require.ErrorContains(t, err, "none of 1 rows has a prompt that the model can write to; the first, talk:")
}

func TestTheWorldRepliesInARollout(t *testing.T) {
	s := newSchool(t)
	var rows []*example.Example
	for i := range 8 {
		rows = append(rows, generated(t, "guess", ``, i))
	}
	res, err := s.run(execution{kind: rollout(), params: `{"samples": 3, "max_tokens": 12, "temperature": 3}`, inputs: ports{"model": {s.untrained}, "data": {s.examples(rows...)}}})
	require.NoError(t, err)
	replied := 0
	for _, e := range s.rows(res.Outputs["examples"]) {
		text := e.Completion.String()
		if len(text) > 1 && (text[1] == '+' || text[1] == '-') {
			replied++
			require.Equal(t, text[:1] == e.Problem.Answer, text[1] == '+')
		}
	}
	require.Greater(t, replied, 6, "of 24; first tokens of one byte get a reply")
}
