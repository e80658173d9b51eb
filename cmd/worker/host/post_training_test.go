package host

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
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

// TestADeviceGoesToEveryStageThatTakesOne: but to those whose own block names another, and those of data and of reports.
func TestADeviceGoesToEveryStageThatTakesOne(t *testing.T) {
	type on struct{ Device, Precision string }
	for _, n := range workflows.All() {
		t.Run(n.Name, func(t *testing.T) {
			params := `{"device": "cuda", "precision": "tf32"}`
			own := map[string]on{}
			if n.Name == "SFT" {
				params = `{"device": "cuda", "precision": "tf32", "sft": {"more": {"device": "cuda:1"}}, "evaluate": {"more": {"device": "cpu"}}}`
				own = map[string]on{"sft": {"cuda:1", ""}, "before": {"cpu", ""}, "evaluate": {"cpu", ""}}
			}
			spec, err := n.Spec([]byte(params))
			require.NoError(t, err)
			plan, err := dag.NewPlan(spec, kinds())
			require.NoError(t, err)
			taken := 0
			for _, node := range plan.Nodes {
				kind, _ := kinds().Kind(node.Kind)
				want, queue := on{}, kind.Queue
				if kind.HasParameter("device") {
					taken++
					want = on{"cuda", "tf32"}
				}
				if o, ok := own[node.ID]; ok {
					want = o
				}
				if strings.HasPrefix(want.Device, "cuda") {
					queue = stage.GPU
				}
				var got on
				require.NoError(t, json.Unmarshal(node.Params, &got))
				require.Equal(t, want, got, node.ID)
				require.Equal(t, queue, node.Policy.Queue, node.ID)
			}
			require.NotZero(t, taken)
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
		{"SFT", "perplexity", `"rows": {"source": "files", "from": [` + strconv.Quote(chats(t)) + `], "count": 0, "held_out": 5}, "evaluate": {"by": "likelihood"}, "sft": ` + tinyFit, []string{"before", "sft", "evaluate"}},
		{"RewardModel", "reward model, true order", tinyRule + `, "reward_model": ` + tinyFit, []string{"reward_model", "accuracy", "accuracy_truth"}},
		{"DPO", "DPO over SFT", tinyRule + `, "dpo": {"epochs": 1, "batch": 8, "learning_rate": 0.001, "warm_up": 1, "rounds": 2}, "evaluate": {"samples": 1}`, []string{"reference", "dpo", "pairs_2", "dpo_2", "win_rate"}},
		{"PPO", "PPO, beta 0", tinyRule + `, "reward_model": ` + tinyFit + `, "unheld": true, "evaluate": {"samples": 1}, "rl": ` + tinyRL, []string{"ppo", "unheld", "win_rate"}},
		{"R1Zero", "control: more demonstrations", tinySums + `, "base": ` + tinyFit + `, "control": 1, "rl": ` + tinyRL, []string{"base", "rl", "control", "evaluate"}},
		{"R1Zero", "dapo", tinySums + `, "base": ` + tinyFit + `, "control": 0, "against": ["reinforce++", "dapo"], "rl": ` + tinyRL, []string{"rl_reinforce", "evaluate_dapo", "compare"}},
		{"R1", "R1, general rows", tinySums + `, "general": {"source": "sorting", "count": 20, "held_out": 8}, "gain": 0, "cold_start": {"epochs": 60, "batch": 8, "learning_rate": 0.01, "warm_up": 1}, "sft": ` + tinyFit +
			`, "reasoning": ` + tinyRL + `, "scenarios": ` + tinyRL + `, "rejection": {"prompts": 20, "samples": 4, "max_tokens": 24}`, []string{"cold_start", "reasoning", "accepted", "sft", "scenarios", "evaluate_general"}},
		{"PostTraining", "ppo", tinyRule + `, "reward_model": ` + tinyFit + `, "evaluate": {"samples": 1}, "rl": ` + tinyRL, []string{"reward_model", "ppo", "evaluate", "publish"}},
	} {
		t.Run(c.workflow, func(t *testing.T) {
			require.Contains(t, reportOf(t, c.workflow, "{"+tinyCommon+", "+c.params+"}", c.stages), c.shown)
		})
	}
}

// chats writes a file of rows that nothing checks.
func chats(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, "{\"prompt\": \"say %d\", \"completion\": \" it is %d\"}\n", i, i)
	}
	name := filepath.Join(t.TempDir(), "chats.jsonl")
	require.NoError(t, os.WriteFile(name, []byte(lines.String()), 0o644))
	return name
}

func TestRolloutsThatAreSpreadTrainTheSameModel(t *testing.T) {
	run := func(rollouts, more string) (html string, weights artifact.Digest, out workflows.Outcome) {
		b := &bench{t, mem.New()}
		out, err := b.run("R1Zero", `{`+tinyCommon+`, `+tinySums+`, "control": 0, "base": {"epochs": 1, "batch": 8, "learning_rate": 0.01, "warm_up": 1}, "rl": {"iterations": 3, "prompts": 6, "group": 4, "rollouts": `+
			rollouts+`, "rewards": [{"reward": "repetition", "weight": 1}, {"reward": "length", "weight": 1}], "loss": {"beta": 0.01}, "more": {`+more+`"temperature": 1.5, "equal_limit": 100}}}`)
		require.NoError(t, err)
		m, err := artifact.LoadManifest(t.Context(), b.store, out.Stages["rl_2"].Outputs["model"])
		require.NoError(t, err)
		f, err := m.Find("model.safetensors")
		require.NoError(t, err)
		return read(t, b.store, artifact.RunName("tiny", artifactFolder(out), "report.html")), f.Digest, out
	}
	html, one, _ := run(`{"shards": 1, "staleness": 1}`, ``)
	require.Contains(t, html, "Reward of the samples", "the iterations are one curve")
	_, three, out := run(`{"shards": 3, "staleness": 1}`, ``)
	require.Equal(t, one, three, "into how many parts the problems are cut changes no bit")
	require.Equal(t, 24.0, out.Stages["rl_rollout1"].Metrics["completions"])
	require.Greater(t, out.Stages["rl_2"].Metrics["drift_max"], 1e-3, "the sampling policy was an iteration behind")
	_, newest, out := run(`{"shards": 2, "staleness": 0}`, `"max_tokens": 24, `)
	require.Less(t, out.Stages["rl_2"].Metrics["drift_max"], 1e-3)
	require.NotEqual(t, one, newest)
}

func TestFaultsAreFoundBeforeTheRun(t *testing.T) {
	for params, want := range map[string]string{
		`{"rl": {"rollouts": {"shards": 33}}}`:                          "rl.rollouts.shards is 33: give 1 to the 32 prompts",
		`{"rl": {"rollouts": {"shards": 2}, "more": {"keep": "best"}}}`: "rl.more.keep is best",
		`{"rl": {"rollouts": {"shards": 2, "stale": 1}}}`:               "staleness",
		`{"evaluate": {"by": "likelihood"}}`:                            "the problems of task arithmetic are held out without completions",
		`{"rl": {"rollouts": {"staleness": 1}}}`:                        "shards",
	} {
		n, err := workflows.Find("R1Zero")
		require.NoError(t, err)
		_, err = n.Spec([]byte(params))
		require.ErrorContains(t, err, want)
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
