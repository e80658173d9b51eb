package host

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows"
	"tempera/workflows/dag"
)

// TestNamedWorkflowsPlan: what {} stands for agrees with the kinds, names, types and ranges. Those that start from a published model plan as far as that.
func TestNamedWorkflowsPlan(t *testing.T) {
	for _, n := range workflows.All() {
		t.Run(n.Name, func(t *testing.T) {
			spec, err := n.Spec([]byte(`{}`))
			require.NoError(t, err)
			_, err = dag.NewPlan(spec, kinds())
			require.NoError(t, err)
		})
	}
}

// What makes each workflow of post-training as small as it gets.
const (
	tinyCommon = `"name": "tiny", "publish": "champion", "model": {"width": 16, "layers": 1, "heads": 2, "context": 64}`
	tinyFit    = `{"epochs": 1, "batch": 8, "learning_rate": 0.01, "warm_up": 1}`
	tinyRL     = `{"iterations": 2, "prompts": 4, "group": 4, "more": {"max_tokens": 24, "equal_limit": 100}}`
	tinySums   = `"rows": {"source": "arithmetic", "params": {"terms": 2, "digits": 1, "held_out": 0.3}, "count": 40, "held_out": 12}, "evaluate": {"samples": 2, "max_tokens": 24}`
	tinyRule   = `"preferences": {"rows": {"source": "rule", "count": 60, "held_out": 20}, "pairs": 40, "sft": ` + tinyFit + `}`
)

func TestWorkflowsOfPostTrainingRunToTheirReport(t *testing.T) {
	for _, c := range []struct {
		workflow, shown, params string   // shown is a row of the report
		stages                  []string // that have results
	}{
		{"SFT", "after SFT", tinySums + `, "sft": ` + tinyFit, []string{"before", "sft", "evaluate", "publish"}},
		{"RewardModel", "reward model, true order", tinyRule + `, "reward_model": ` + tinyFit, []string{"reward_model", "accuracy", "accuracy_truth"}},
		{"DPO", "DPO over SFT", tinyRule + `, "dpo": {"epochs": 1, "batch": 8, "learning_rate": 0.001, "warm_up": 1, "rounds": 2}, "evaluate": {"samples": 1}`, []string{"reference", "dpo", "pairs_2", "dpo_2", "win_rate"}},
		{"PPO", "PPO, beta 0", tinyRule + `, "reward_model": ` + tinyFit + `, "unheld": true, "evaluate": {"samples": 1}, "rl": ` + tinyRL, []string{"ppo", "unheld", "win_rate"}},
		{"R1Zero", "control: more demonstrations", tinySums + `, "base": ` + tinyFit + `, "control": 1, "rl": ` + tinyRL, []string{"base", "rl", "control", "evaluate"}},
		{"R1", "R1, general rows", tinySums + `, "general": {"source": "sorting", "count": 20, "held_out": 8}, "gain": 0, "cold_start": {"epochs": 60, "batch": 8, "learning_rate": 0.01, "warm_up": 1}, "sft": ` + tinyFit +
			`, "reasoning": ` + tinyRL + `, "scenarios": ` + tinyRL + `, "rejection": {"prompts": 20, "samples": 4, "max_tokens": 24}`, []string{"cold_start", "reasoning", "accepted", "sft", "scenarios", "evaluate_general"}},
		{"PostTraining", "ppo", tinyRule + `, "reward_model": ` + tinyFit + `, "evaluate": {"samples": 1}, "rl": ` + tinyRL, []string{"reward_model", "ppo", "evaluate", "publish"}},
	} {
		t.Run(c.workflow, func(t *testing.T) {
			require.Contains(t, reportOf(t, c.workflow, "{"+tinyCommon+", "+c.params+"}", c.stages), c.shown)
		})
	}
}

// TestAModelThatSeesIsReinforcedAndBlinded: R1Zero on questions about pictures, with all that tells whether the model looks.
func TestAModelThatSeesIsReinforcedAndBlinded(t *testing.T) {
	html := reportOf(t, "R1Zero", `{"name": "tiny", "model": {"width": 16, "layers": 1, "heads": 2, "context": 64, "tokens": "words", "vision": {"image": 32, "patch": 8, "layers": 1}},
		"rows": {"source": "scene", "count": 24, "held_out": 8}, "demonstrations": 16, "base": `+tinyFit+`, "control": 0, "blind": true, "rl": `+tinyRL+`, "evaluate": {"samples": 2, "max_tokens": 12}}`,
		[]string{"base", "rl", "evaluate_other", "evaluate_blank", "blank_rl"})
	require.Contains(t, html, "grpo, shown other pictures")
	require.Contains(t, html, "grpo, trained on blank pictures")
	for params, want := range map[string]string{
		`{"blind": true}`: "blind is set: it needs rows.source scene", `{"demonstrations": 3000}`: "demonstrations is 3000, of 2000 rows",
		`{"demonstrations": 5, "model": {"from": "model:a@champion"}}`: "demonstrations is set, and the rows are your own or the model is given",
	} {
		r1, err := workflows.Find("R1Zero")
		require.NoError(t, err)
		_, err = r1.Spec([]byte(params))
		require.ErrorContains(t, err, want)
	}
}

// reportOf runs a workflow and returns its report. The stages must have results.
func reportOf(t *testing.T, workflow, params string, stages []string) string {
	t.Helper()
	b := &bench{t, mem.New()}
	out, err := b.run(workflow, params)
	require.NoError(t, err)
	for _, id := range stages {
		require.Contains(t, out.Stages, id)
	}
	return read(t, b.store, artifact.RunName("tiny", artifactFolder(out), "report.html"))
}
