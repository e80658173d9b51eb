//go:build gpu

package activities

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/infra/artifact/mem"
	"tempera/training/device/accelerator"
	"tempera/training/device/cuda/driver"
)

// leased is a GPU, in a precision. Without one the test is skipped, or fails with REQUIRE_GPU.
func leased(t *testing.T, precision string) accelerator.Backend {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	pool, err := accelerator.NewPool(nil)
	require.NoError(t, err)
	l, err := pool.Take(t.Context(), accelerator.CUDA, precision)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l.Backend
}

// TestOnAGPUTheJobFindsWhatItFindsOnTheCPU: the kinds of image-text models.
func TestOnAGPUTheJobFindsWhatItFindsOnTheCPU(t *testing.T) {
	_, want := runJob(t, 2, nil)
	_, got := runJob(t, 2, leased(t, accelerator.F32))
	for _, id := range slices.Sorted(maps.Keys(want)) {
		require.Equal(t, slices.Sorted(maps.Keys(want[id].Outputs)), slices.Sorted(maps.Keys(got[id].Outputs)), id)
		for name, x := range want[id].Metrics {
			require.InDelta(t, x, got[id].Metrics[name], 1e-3+0.02*max(x, -x), "%s: %s", id, name)
		}
	}
}

// TestOnAGPURowsAreWrittenJudgedAndLearned: the kinds of post-training, in each precision.
func TestOnAGPURowsAreWrittenJudgedAndLearned(t *testing.T) {
	for precision, tolerance := range map[string]float64{accelerator.F32: 0.01, accelerator.BF16: 0.1} {
		t.Run(precision, func(t *testing.T) {
			shop := &workshop{t, mem.New()}
			m := shop.beginner(small)
			pairs, problems := shop.examples(preferences(1, 24)...), shop.examples(questions(1, 8)...)
			judge := shop.output(execution{kind: rewardModel(), params: `{"steps": 6, "batch": 8, "readout": "sum"}`, inputs: ports{"model": {m}, "data": {pairs}}}, "model")
			gpu := leased(t, precision)
			of := func(k Kind, params string, in ports) execution {
				in["model"] = append(in["model"], m)[:1]
				return execution{kind: k, params: params, inputs: in}
			}
			for name, c := range map[string]struct {
				execution
				metrics []string // that the devices agree on
			}{
				"sft":          {of(sft(), `{"steps": 4, "batch": 4}`, ports{"data": {shop.examples(completions(1, 16)...)}}), []string{"loss"}},
				"reward model": {of(rewardModel(), `{"steps": 4, "batch": 4}`, ports{"data": {pairs}}), []string{"loss"}},
				"dpo":          {of(dpo(), `{"steps": 4, "batch": 4}`, ports{"data": {pairs}}), []string{"loss"}},
				"judged":       {of(evaluatePreferences(), `{}`, ports{"model": {judge}, "data": {pairs}}), []string{"length_bias"}},
				"likely":       {of(evaluateChoices(), `{}`, ports{"data": {shop.examples(completions(2, 8)...)}}), []string{"perplexity"}},
				"solved":       {of(evaluateTasks(), `{"samples": 2, "k": [1, 2], "max_tokens": 4, "greedy": true}`, ports{"data": {problems}}), nil},
				"compared":     {of(winRate(), `{"judge": "reward_model", "max_tokens": 4}`, ports{"baseline": {judge}, "reward_model": {judge}, "data": {problems}}), nil},
				"searched":     {of(searchKind(), `{"n": [4], "methods": ["best", "beam", "mcts"], "verifier": "model", "max_tokens": 4, "separator": "", "step_tokens": 1}`, ports{"verifier": {judge}, "data": {problems}}), nil},
				"reinforced": {of(rl(), `{"iterations": 2, "prompts": 2, "group": 2, "max_tokens": 4, "rewards": [{"reward": "repetition", "weight": 1}], "graph_tokens": 128}`,
					ports{"problems": {problems}, "held_out": {problems}, "reward_model": {judge}}), nil},
			} {
				t.Run(name, func(t *testing.T) {
					l := &workshop{t, shop.store}
					want, err := l.run(c.execution)
					require.NoError(t, err)
					c.gpu = gpu
					got, err := l.run(c.execution)
					require.NoError(t, err)
					require.Equal(t, slices.Sorted(maps.Keys(want.Metrics)), slices.Sorted(maps.Keys(got.Metrics)))
					for _, metric := range c.metrics {
						require.InEpsilon(t, want.Metrics[metric], got.Metrics[metric], tolerance, metric)
					}
				})
			}
			t.Run("rolled out", func(t *testing.T) {
				l := &workshop{t, shop.store}
				rollout := of(rollout(), `{"samples": 2, "max_tokens": 4, "keep": "all", "record": true, "rewards": []}`, ports{"reward_model": {judge}, "data": {problems}})
				rollout.gpu = gpu
				rows, err := example.Load(t.Context(), l.store, l.output(rollout, "examples"))
				require.NoError(t, err)
				require.Len(t, rows, 16)
				learned := of(rl(), `{"iterations": 1, "group": 2, "max_tokens": 4, "rewards": [{"reward": "repetition", "weight": 1}]}`, ports{"from": {l.output(rollout, "examples")}})
				learned.gpu = gpu
				require.NotEmpty(t, l.output(learned, "model"))
			})
			t.Run("referred to", func(t *testing.T) {
				l := &workshop{t, shop.store}
				refers := of(reference(), `{}`, ports{"data": {pairs}})
				refers.gpu = gpu
				learned := of(dpo(), `{"steps": 2, "batch": 4}`, ports{"data": {pairs}, "reference": {l.output(refers, "scores")}})
				learned.gpu = gpu
				res, err := l.run(learned)
				require.NoError(t, err)
				require.InDelta(t, 0.6931, res.Metrics["loss"], 0.3, "it begins at the reference")
			})
		})
	}
}
