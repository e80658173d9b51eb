package stage

import (
	"encoding/json"
	"time"

	"tempera/infra/artifact"
)

// PlanRequest asks the activity Plan for the plan of a run.
type PlanRequest struct {
	Spec json.RawMessage `json:"spec"` // a spec as JSON, or a JSON string that holds YAML or JSON
	Run  string          `json:"run"`  // workflow ID of the run
}

// PlanResult is a plan and what is known about it at the start.
type PlanResult struct {
	Plan   json.RawMessage `json:"plan"`   // a dag.Plan
	Digest artifact.Digest `json:"digest"` // of the plan
	// Known are committed results by stage key: those that follow from the spec
	// alone, as far as they fit. A stage whose key is here is not run.
	Known map[string]Result `json:"known,omitempty"`
	// Folder is where the run folder can be looked at; "" where that is unknown.
	Folder string `json:"folder,omitempty"`
}

// ResolveRequest asks for the full parameters of a kind.
type ResolveRequest struct {
	Kind   string          `json:"kind"`
	Params json.RawMessage `json:"params,omitempty"` // as the stage has them
	Change json.RawMessage `json:"change,omitempty"` // keys to replace in Params
}

// CountRequest asks CountShards for the shards of a mapped stage.
type CountRequest struct {
	Request
	From int `json:"from,omitempty"` // the first shard of interest
}

// ShardCount is how many shards a mapped stage has, and which of them need not
// be run because they have committed.
type ShardCount struct {
	Count int    `json:"count"`
	Done  []byte `json:"done,omitempty"` // bit i%8 of byte i/8 is shard From+i
}

// Has tells whether shard From+i has committed.
func (s ShardCount) Has(i int) bool { return i/8 < len(s.Done) && s.Done[i/8]&(1<<(i%8)) != 0 }

// CollectRequest asks Collect for the result of a mapped stage.
type CollectRequest struct {
	Request
	Count       int          `json:"count"`
	Quarantined []Quarantine `json:"quarantined,omitempty"` // shards that failed within the budget
	Missing     []int        `json:"missing,omitempty"`     // their indices, ascending
	Seconds     float64      `json:"seconds,omitempty"`     // since the first shard was started
}

// RunRecord is run.json: what a run was, and what became of it.
type RunRecord struct {
	Pipeline string          `json:"pipeline"`
	Run      string          `json:"run"`      // workflow ID
	Workflow string          `json:"workflow"` // its type
	Params   json.RawMessage `json:"params,omitempty"`
	Started  time.Time       `json:"started"`
	Ended    *time.Time      `json:"ended,omitempty"`
	State    string          `json:"state"` // running, completed, failed or cancelled
	Digest   artifact.Digest `json:"plan_digest"`
	Versions map[string]int  `json:"versions"` // of the kinds
	Parent   string          `json:"parent,omitempty"`
	Build    string          `json:"build,omitempty"` // of the worker
	Plan     json.RawMessage `json:"plan"`            // resolved
	Stages   []StageRecord   `json:"stages,omitempty"`
}

// StageRecord is one stage in a RunRecord.
type StageRecord struct { //nolint:revive // a record of a stage, beside that of a run
	ID       string                         `json:"id"`
	Kind     string                         `json:"kind"`
	State    string                         `json:"state"`
	Message  string                         `json:"message,omitempty"`
	Key      string                         `json:"key,omitempty"`
	Cached   bool                           `json:"cached,omitempty"`
	Starts   []Start                        `json:"starts,omitempty"`
	Params   json.RawMessage                `json:"params,omitempty"` // where they were changed by a retry
	Seconds  float64                        `json:"seconds,omitempty"`
	Inputs   map[string][]artifact.Artifact `json:"inputs,omitempty"`
	Outputs  map[string]artifact.Artifact   `json:"outputs,omitempty"`
	Metrics  map[string]float64             `json:"metrics,omitempty"`
	Excluded int                            `json:"quarantined,omitempty"`
}

// KeyOf is the key of a stage, "" where it has none or the record does not have it.
func (r *RunRecord) KeyOf(id string) string {
	if r == nil {
		return ""
	}
	for i := range r.Stages {
		if r.Stages[i].ID == id {
			return r.Stages[i].Key
		}
	}
	return ""
}

// Start is one time that a stage was started.
type Start struct {
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	Outcome string     `json:"outcome,omitempty"` // succeeded, failed, cancelled
}

// Final tells whether an error of this type is of the kind that no further
// attempt mends.
func Final(errorType string) bool {
	switch errorType {
	case InvalidPipeline, InvalidInput, CorruptArtifact, MissingArtifact, StoreRefused:
		return true
	}
	return false
}

// QueryProgress is the query that a mapped stage answers with its dag.Progress.
const QueryProgress = "progress"
