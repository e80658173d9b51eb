// Package activities holds the kinds of stage: one file each, listed by All.
// Runtime wraps every kind with what durability needs (result lookup,
// heartbeats on a timer of their own, checkpoints, error classes, the commit),
// so that a kind's file holds its parameters and its work only.
package activities

import (
	"context"
	"io"
	"log/slog"

	"tempera/infra/artifact"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/workflows/stage"
)

// Kind is one kind of stage.
type Kind interface {
	// Describe returns the kind's descriptor with its default parameters.
	Describe() stage.Descriptor
	// Check resolves params over the defaults and returns them in full, or every
	// fault at once (a *ParamsError). Unknown keys are faults.
	Check(params []byte) (resolved []byte, err error)
	// Run does the work of a stage or of one shard of it. Params are resolved.
	// It may be run again from the start after a crash, on another worker; what
	// it publishes through t must therefore depend on its inputs only. The
	// runtime commits what Run has put into t.Result when it returns nil.
	Run(ctx context.Context, t *Task) error
}

// Task is what the runtime hands to one execution of a kind.
type Task struct {
	stage.Request
	Store       artifact.Store  // reads go through the worker's cache
	Log         *slog.Logger    // goes to the attempt's log in the run folder too
	Scratch     string          // a folder of this attempt's own, removed afterwards
	Data        string          // the worker's folder for data sets that are installed once
	Threads     int             // cores that the kind may keep busy
	Level       kernel.Level    // CPU features for the kernels: results are the same bits on one level
	GPU         device.Backend  // what the stage computes on instead; nil: the CPU
	Group       device.Group    // GPU and the others that share its trainings; nil: there are no others
	Checkpoints Checkpoints     // resume point of this key, in the store
	Progress    func(Progress)  // cheap; the heartbeat carries the latest one
	Result      *stage.Result   // outputs and metrics are put here
	Metrics     MetricsWriter   // step metrics: metrics.jsonl and TensorBoard events in the run folder
	Stopping    <-chan struct{} // closed when the worker is asked to stop: checkpoint, then return ErrStopped
}

// Input returns the artifact of a port that takes one; ok is false where an
// optional port was left out.
func (t *Task) Input(port string) (a artifact.Artifact, ok bool) {
	if len(t.Inputs[port]) == 0 {
		return artifact.Artifact{}, false
	}
	return t.Inputs[port][0], true
}

// Output sets an output of the result.
func (t *Task) Output(port string, a artifact.Artifact) {
	if t.Result.Outputs == nil {
		t.Result.Outputs = map[string]artifact.Artifact{}
	}
	t.Result.Outputs[port] = a
}

// Metric sets a metric of the result.
func (t *Task) Metric(name string, value float64) {
	if t.Result.Metrics == nil {
		t.Result.Metrics = map[string]float64{}
	}
	t.Result.Metrics[name] = value
}

// Progress is what a person sees of a running stage.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"`           // steps, images, shards
	Note  string `json:"note,omitempty"` // e.g. "loss 2.31"
}

// Checkpoints keeps the newest resumable states of one stage (or shard) in the
// store until it commits. A saved checkpoint survives the loss of the worker.
type Checkpoints interface {
	// Save streams a checkpoint for a step and makes it the newest one. It is
	// atomic: a crash leaves the earlier checkpoint newest.
	Save(ctx context.Context, step int64, write func(io.Writer) error) error
	// Load calls read with the newest whole checkpoint; found is false where there
	// is none. A corrupt checkpoint is skipped for the one before it, and logged
	// with its digest; where all are corrupt, Load fails and names them.
	Load(ctx context.Context, read func(step int64, r io.Reader) error) (found bool, err error)
}

// MetricsWriter records the metrics of training steps. A step that is written
// again after a resume replaces the earlier one.
type MetricsWriter interface {
	Write(step int64, values map[string]float64) error
}
