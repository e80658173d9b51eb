// Package stage is the contract between workflows, which order stages and know
// nothing of what they do, and activities, which do them.
//
// It is pure data: a Descriptor tells what a kind of stage needs and makes, a
// Request asks for one execution, a Result is what was committed. Key ties them
// together: equal keys mean equal results.
package stage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tempera/infra/artifact"
)

// Queue is the class of worker that a kind needs.
type Queue string

// The queue classes. The task queue's name is "tempera-" and the class;
// workflows themselves run on "tempera".
const (
	CPU Queue = "cpu"
	GPU Queue = "gpu"
)

// Port is one named input or output of a kind.
type Port struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // an artifact type; of an input also several, as "dataset|text"; "" accepts any
	Optional bool   `json:"optional,omitempty"`
	Many     bool   `json:"many,omitempty"` // inputs only: takes a list
	Doc      string `json:"doc"`
}

// Types lists what a port takes; empty: any artifact.
func (p Port) Types() []string {
	if p.Type == "" {
		return nil
	}
	return strings.Split(p.Type, "|")
}

// Takes tells whether a port takes artifacts of a type.
func (p Port) Takes(typ string) bool {
	return p.Type == "" || slices.Contains(p.Types(), typ)
}

// Descriptor is what a kind says about itself. It is serialisable: the plan
// activity hands descriptors to the checks, and the schema is made of them.
type Descriptor struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // raise it when equal inputs no longer give equal outputs
	Summary string `json:"summary"` // one line for the UI and the docs
	Inputs  []Port `json:"inputs,omitempty"`
	Outputs []Port `json:"outputs,omitempty"`
	Queue   Queue  `json:"queue"`
	// Effects says that the kind does more than make its outputs, such as moving
	// an alias: every run runs it, and takes no result of another run.
	Effects bool   `json:"effects,omitempty"`
	Map     string `json:"map,omitempty"`    // the dataset input a mapped stage runs over, shard by shard; "" cannot be mapped
	Record  bool   `json:"record,omitempty"` // reads the run's record: that is brought up to date before the stage starts, and an earlier result is never taken
	// Headline names the metrics that tell most, the first ones first: where there is
	// room for a few, these are shown.
	Headline []string        `json:"headline,omitempty"`
	Params   json.RawMessage `json:"params"`           // the defaults, as JSON
	Schema   json.RawMessage `json:"schema,omitempty"` // JSON Schema of the parameters, see SchemaFor
}

// HasParameter tells whether the kind takes a parameter of that name.
func (d Descriptor) HasParameter(name string) bool {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(d.Schema, &schema); err != nil {
		return false
	}
	_, ok := schema.Properties[name]
	return ok
}

// Shard tells a mapped execution which shard of its mapped input is its own.
type Shard struct {
	Index int `json:"index"`
	Count int `json:"count"`
}

// Request asks an activity for one execution of a stage, or of one shard of it.
type Request struct {
	Pipeline string                         `json:"pipeline"` // name of the pipeline
	Run      string                         `json:"run"`      // workflow ID of the pipeline run; names the run folder
	Stage    string                         `json:"stage"`    // id in the spec
	Kind     string                         `json:"kind"`
	Key      string                         `json:"key"`    // of the whole stage, see Key
	Params   json.RawMessage                `json:"params"` // resolved: every default filled in
	Inputs   map[string][]artifact.Artifact `json:"inputs,omitempty"`
	Shard    *Shard                         `json:"shard,omitempty"`
	Force    string                         `json:"force,omitempty"` // not "": ignore an earlier result; the run that forces it
}

// Result is what a stage committed.
type Result struct {
	Key         string                       `json:"key"`
	Outputs     map[string]artifact.Artifact `json:"outputs,omitempty"`
	Metrics     map[string]float64           `json:"metrics,omitempty"`  // small; of a mapped stage: sums over its shards
	Headline    []string                     `json:"headline,omitempty"` // names of metrics to show first
	Quarantined []Quarantine                 `json:"quarantined,omitempty"`
	Cached      bool                         `json:"cached,omitempty"`  // found, not computed
	Seconds     float64                      `json:"seconds,omitempty"` // of the kind's own work, without look-up and commit; of a mapped stage: since its first shard was handed out
}

// MetricNames are the names of the metrics: those of the headline, then the others.
func (r Result) MetricNames() []string {
	var names []string
	for _, name := range r.Headline {
		if _, ok := r.Metrics[name]; ok {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
		if !slices.Contains(r.Headline, name) {
			names = append(names, name)
		}
	}
	return names
}

// Quarantine is an item (a shard, a record) that was left out, and why.
type Quarantine struct {
	Item   string `json:"item"`
	Reason string `json:"reason"`
}

// Key returns the key of a stage: the hash of its kind, the kind's version, its
// resolved parameters and the digests of its inputs. params must be resolved
// JSON; the order of its object keys and its white space do not matter.
func Key(kind string, version int, params json.RawMessage, inputs map[string][]artifact.Artifact) (string, error) {
	var canonical any
	if len(params) > 0 {
		d := json.NewDecoder(bytes.NewReader(params))
		d.UseNumber() // seeds above 2^53 must not share a key
		if err := d.Decode(&canonical); err != nil {
			return "", fmt.Errorf("key of %s: parameters: %w", kind, err)
		}
	}
	p, err := json.Marshal(canonical) // object keys come out sorted
	if err != nil {
		return "", fmt.Errorf("key of %s: parameters: %w", kind, err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "tempera stage v1\n%s %d\n%s\n", kind, version, p)
	for _, port := range slices.Sorted(maps.Keys(inputs)) {
		for _, a := range inputs[port] {
			fmt.Fprintf(h, "%s %s\n", port, a.Digest)
		}
	}
	return kind + "-" + hex.EncodeToString(h.Sum(nil))[:40], nil
}

// The types of the errors with which stages fail. Those up to OutOfMemory are
// final, the others are retried.
const (
	InvalidPipeline = "InvalidPipeline" // a spec with faults
	InvalidInput    = "InvalidInput"    // parameters or data that no retry mends
	CorruptArtifact = "CorruptArtifact" // bytes that do not match their digest
	MissingArtifact = "MissingArtifact" // a digest or name that is not in the store
	StoreRefused    = "StoreRefused"    // permission, credentials, bucket
	OutOfMemory     = "OutOfMemory"     // of the machine or the GPU; the message names a batch that fits where one is known

	StageFailed      = "StageFailed"
	StoreUnavailable = "StoreUnavailable"
	NoSpace          = "NoSpace"
	JudgeUnavailable = "JudgeUnavailable"
	DeviceLost       = "DeviceLost" // a GPU failed
	Stopped          = "WorkerStopped"
	Panicked         = "Panicked"
)

// The names of the activities that workflows call beside the kinds, which go by
// their own names. They run on the workflows' queue.
const (
	ActivityPlan        = "Plan"
	ActivityResolve     = "Resolve"
	ActivityLookup      = "Lookup"
	ActivityCountShards = "CountShards"
	ActivityCollect     = "Collect"
	ActivityAwait       = "AwaitStage"
	ActivityProgress    = "ProgressOf"
	ActivityPublish     = "Publish"
)
