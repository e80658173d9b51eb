// Package dag is the pure half of the pipeline engine: it parses a spec, checks
// it, and plans it. It knows neither Temporal nor what a kind of stage does: a
// Catalog of descriptors tells it what it needs.
//
// Everything here is deterministic and does no I/O, so that it may run inside
// workflow code: no clock, no random numbers, no goroutines, and no result that
// depends on the order of a map.
//
// Start reading at Spec, then Check, then Plan, then Run.
package dag

import (
	"encoding/json"
	"fmt"
)

// Spec is a pipeline as people write it, in YAML or JSON. Unknown keys fail.
// The doc tags are what editors show, see Schema.
type Spec struct {
	Name        string   `json:"name" doc:"Names the folder of runs in the bucket: lower-case letters, digits, - and _."`
	Description string   `json:"description,omitempty" doc:"One line for people."`
	Defaults    Defaults `json:"defaults,omitzero" doc:"Apply to every stage that does not say otherwise."`
	Stages      []Stage  `json:"stages" doc:"The stages, in any order. They run as soon as what they wait for is done."`
}

// Defaults apply to every stage that does not say otherwise.
type Defaults struct {
	Retry     *Retry     `json:"retry,omitempty" doc:"Attempts of a stage's activities on retryable errors."`
	Resources *Resources `json:"resources,omitempty" doc:"Which workers run the stages."`
	Parallel  int        `json:"parallel,omitempty" min:"0" max:"1000" doc:"Stages at a time; 0 means 16."`
	Repair    string     `json:"repair,omitempty" doc:"How long a failed run waits to be repaired, e.g. 24h, which is the default; 0s fails at once."`
	Device    string     `json:"device,omitempty" doc:"Parameter device of the stages that compute with models and do not name one themselves: cpu, cuda, cuda:N or auto."`
	Precision string     `json:"precision,omitempty" doc:"Parameter precision of those stages, likewise: bf16, tf32 or f32."`
}

// Stage is one node of the DAG.
type Stage struct {
	ID        string            `json:"id" doc:"Names the stage: a lower-case letter, then letters, digits and _."`
	Kind      string            `json:"kind" doc:"What the stage does."`
	Needs     []string          `json:"needs,omitempty" doc:"Stages to wait for without taking anything from them."`
	Inputs    map[string]Inputs `json:"inputs,omitempty" doc:"Where each input comes from: stage.output, type@sha256:digest for an artifact in the store, or type:name@version for a published one; a model's alias stands for its version, e.g. model:blip@champion."`
	Params    json.RawMessage   `json:"params,omitempty" doc:"Parameters of the kind; what is left out has its default."`
	When      string            `json:"when,omitempty" doc:"Condition over metrics of other stages; where it is false the stage is skipped."`
	Map       *Map              `json:"map,omitempty" doc:"Runs the stage once for each shard of its data set."`
	Gate      *Gate             `json:"gate,omitempty" doc:"Holds the stage back once its inputs are ready."`
	Retry     *Retry            `json:"retry,omitempty" doc:"Attempts of the stage's activities on retryable errors."`
	Resources *Resources        `json:"resources,omitempty" doc:"Which workers run the stage."`
	Force     bool              `json:"force,omitempty" doc:"Runs the stage even where its result is known; kinds with effects of their own, such as publish, always run."`
}

// Inputs is one source or a list of sources; in YAML and JSON a single one may
// be written without brackets. See ParseSource.
type Inputs []string

// UnmarshalJSON accepts a string or a list of strings.
func (in *Inputs) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*in = Inputs{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf("an input is \"stage.output\" or a list of them: %w", err)
	}
	*in = many
	return nil
}

// MarshalJSON writes a single source without brackets.
func (in Inputs) MarshalJSON() ([]byte, error) {
	if len(in) == 1 {
		return json.Marshal(in[0])
	}
	return json.Marshal([]string(in))
}

// Map fans a stage out over the shards of the input that its kind names.
type Map struct {
	Window    int    `json:"window,omitempty" min:"0" max:"1000" doc:"Shards in flight; 0 means 8."`
	MaxFailed string `json:"max_failed,omitempty" doc:"How many shards may fail and be left out before the stage fails: 3 or 1%; none where it is left out."`
}

// Gate holds a stage back, once its inputs are ready, until Metric is true and,
// with Approval, until a person approves it.
type Gate struct {
	Metric   string `json:"metric,omitempty" doc:"Condition over metrics, e.g. eval.r1 > baseline.r1 + 0.01; where it is false the stage fails."`
	Approval bool   `json:"approval,omitempty" doc:"Waits until a person approves."`
}

// Retry bounds the attempts of a stage's activities on retryable errors.
type Retry struct {
	Attempts int    `json:"attempts,omitempty" min:"0" max:"1000" doc:"Attempts in all; 0 means 10."`
	Interval string `json:"interval,omitempty" doc:"Before the first retry, e.g. 1s, which is the default; it doubles from there."`
	Timeout  string `json:"timeout,omitempty" doc:"Of one attempt, e.g. 24h, which is the default."`
}

// Resources choose the queue.
type Resources struct {
	Queue string `json:"queue,omitempty" doc:"cpu or gpu; left out, it is gpu for a stage whose device is cuda, and otherwise what the kind asks for."`
}
