// Package dag is the pure half of the pipeline engine: it parses a spec, checks
// it, and plans it. It knows neither Temporal nor what a kind of stage does: a
// Catalog of descriptors tells it what it needs.
//
// Start reading at Spec, then Check, then Plan.
package dag

import (
	"encoding/json"
)

// Spec is a pipeline as people write it, in YAML or JSON. Unknown keys fail.
type Spec struct {
	Name        string   `json:"name" yaml:"name"`
	Description string   `json:"description,omitempty" yaml:"description,omitempty"`
	Defaults    Defaults `json:"defaults,omitzero" yaml:"defaults,omitempty"`
	Stages      []Stage  `json:"stages" yaml:"stages"`
}

// Defaults apply to every stage that does not say otherwise.
type Defaults struct {
	Retry     *Retry     `json:"retry,omitempty" yaml:"retry,omitempty"`
	Resources *Resources `json:"resources,omitempty" yaml:"resources,omitempty"`
	Parallel  int        `json:"parallel,omitempty" yaml:"parallel,omitempty"` // stages at a time; 0 means 16
	Repair    string     `json:"repair,omitempty" yaml:"repair,omitempty"`     // how long a failed run waits to be repaired, e.g. "24h"; "0s" fails at once
}

// Stage is one node of the DAG.
type Stage struct {
	ID        string            `json:"id" yaml:"id"` // [a-z][a-z0-9_]*
	Kind      string            `json:"kind" yaml:"kind"`
	Needs     []string          `json:"needs,omitempty" yaml:"needs,omitempty"`   // order without data
	Inputs    map[string]Inputs `json:"inputs,omitempty" yaml:"inputs,omitempty"` // port -> "stage.output", or a digest in the store
	Params    json.RawMessage   `json:"params,omitempty" yaml:"params,omitempty"`
	When      string            `json:"when,omitempty" yaml:"when,omitempty"` // expression over metrics; false skips the stage
	Map       *Map              `json:"map,omitempty" yaml:"map,omitempty"`
	Gate      *Gate             `json:"gate,omitempty" yaml:"gate,omitempty"`
	Retry     *Retry            `json:"retry,omitempty" yaml:"retry,omitempty"`
	Resources *Resources        `json:"resources,omitempty" yaml:"resources,omitempty"`
	Force     bool              `json:"force,omitempty" yaml:"force,omitempty"` // run even where the result is known
}

// Inputs is one source or a list of sources; in YAML and JSON a single one may
// be written without brackets. A source is "stage.output", or
// "<type>@sha256:<digest>" for an artifact that is already in the store.
type Inputs []string

// Map fans a stage out over the shards of the input that its kind names.
type Map struct {
	Window    int    `json:"window,omitempty" yaml:"window,omitempty"`         // shards in flight; 0 means 8
	MaxFailed string `json:"max_failed,omitempty" yaml:"max_failed,omitempty"` // "1%" or "3": failures quarantined before the stage fails; "" means none
}

// Gate holds a stage back, once its inputs are ready, until Metric is true and,
// with Approval, until a person approves it.
type Gate struct {
	Metric   string `json:"metric,omitempty" yaml:"metric,omitempty"` // e.g. eval.r1 > baseline.r1 + 0.01; false fails the stage
	Approval bool   `json:"approval,omitempty" yaml:"approval,omitempty"`
}

// Retry bounds the attempts of a stage's activities on retryable errors.
type Retry struct {
	Attempts int    `json:"attempts,omitempty" yaml:"attempts,omitempty"` // 0 means 10
	Interval string `json:"interval,omitempty" yaml:"interval,omitempty"` // before the first retry, e.g. "1s"
	Timeout  string `json:"timeout,omitempty" yaml:"timeout,omitempty"`   // of one attempt, e.g. "24h"
}

// Resources choose the queue.
type Resources struct {
	Queue string `json:"queue,omitempty" yaml:"queue,omitempty"` // cpu or gpu; "" means what the kind asks for
}
