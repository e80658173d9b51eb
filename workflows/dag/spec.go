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
type Spec struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Defaults    Defaults `json:"defaults,omitzero"`
	Stages      []Stage  `json:"stages"`
}

// Defaults apply to every stage that does not say otherwise.
type Defaults struct {
	Retry     *Retry     `json:"retry,omitempty"`
	Resources *Resources `json:"resources,omitempty"`
	Parallel  int        `json:"parallel,omitempty"` // stages at a time; 0 means 16
	Repair    string     `json:"repair,omitempty"`   // how long a failed run waits to be repaired, e.g. "24h"; "0s" fails at once
}

// Stage is one node of the DAG.
type Stage struct {
	ID        string            `json:"id"` // [a-z][a-z0-9_]*
	Kind      string            `json:"kind"`
	Needs     []string          `json:"needs,omitempty"`  // order without data
	Inputs    map[string]Inputs `json:"inputs,omitempty"` // port -> "stage.output", or a digest in the store
	Params    json.RawMessage   `json:"params,omitempty"`
	When      string            `json:"when,omitempty"` // expression over metrics; false skips the stage
	Map       *Map              `json:"map,omitempty"`
	Gate      *Gate             `json:"gate,omitempty"`
	Retry     *Retry            `json:"retry,omitempty"`
	Resources *Resources        `json:"resources,omitempty"`
	Force     bool              `json:"force,omitempty"` // run even where the result is known
}

// Inputs is one source or a list of sources; in YAML and JSON a single one may
// be written without brackets. A source is "stage.output", or
// "<type>@sha256:<digest>" for an artifact that is already in the store; see
// ParseSource.
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
	Window    int    `json:"window,omitempty"`     // shards in flight; 0 means 8
	MaxFailed string `json:"max_failed,omitempty"` // "1%" or "3": failures quarantined before the stage fails; "" means none
}

// Gate holds a stage back, once its inputs are ready, until Metric is true and,
// with Approval, until a person approves it.
type Gate struct {
	Metric   string `json:"metric,omitempty"` // e.g. eval.r1 > baseline.r1 + 0.01; false fails the stage
	Approval bool   `json:"approval,omitempty"`
}

// Retry bounds the attempts of a stage's activities on retryable errors.
type Retry struct {
	Attempts int    `json:"attempts,omitempty"` // 0 means 10
	Interval string `json:"interval,omitempty"` // before the first retry, e.g. "1s"
	Timeout  string `json:"timeout,omitempty"`  // of one attempt, e.g. "24h"
}

// Resources choose the queue.
type Resources struct {
	Queue string `json:"queue,omitempty"` // cpu or gpu; "" means what the kind asks for
}
