package workflows

import (
	"encoding/json"

	"tempera/workflows/dag"
)

// demo is what Pipeline runs for an empty input: every feature of the engine in
// a few seconds, without data and without training.
func demo() *dag.Spec {
	params := func(text string) json.RawMessage { return json.RawMessage(text) }
	return &dag.Spec{
		Name:        "demo",
		Description: "What {} runs: stages in parallel, a mapped one, a condition and a gate.",
		Stages: []dag.Stage{
			{ID: "data", Kind: "noop", Params: params(`{"label":"data","shards":24}`)},
			{ID: "train", Kind: "noop", Inputs: map[string]dag.Inputs{"after": {"data.data"}}, Params: params(`{"label":"train","steps":20,"step_ms":100,"checkpoint":5,"metrics":{"r1":0.42}}`)},
			{
				ID: "caption", Kind: "noop", Inputs: map[string]dag.Inputs{"over": {"data.data"}}, Map: &dag.Map{Window: 4, MaxFailed: "5%"},
				Params: params(`{"label":"caption","step_ms":50,"metrics":{"captions":10},"fail":"error","fail_shards":[7]}`), Retry: &dag.Retry{Attempts: 1},
			},
			{ID: "improve", Kind: "noop", Needs: []string{"train"}, When: "train.r1 < 0.4", Params: params(`{"label":"improve"}`)},
			{
				ID: "report", Kind: "noop", Inputs: map[string]dag.Inputs{"after": {"train.data"}}, Needs: []string{"caption"},
				Gate: &dag.Gate{Metric: "train.r1 > 0.3"}, Params: params(`{"label":"report","metrics":{"r1":0.42}}`),
			},
		},
	}
}
