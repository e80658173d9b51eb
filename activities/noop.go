package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// noopParams are the parameters of the kind noop.
type noopParams struct {
	Label      string             `json:"label,omitempty" doc:"Tells stages apart: equal stages share one result."`
	Steps      int                `json:"steps,omitempty" doc:"Steps to count; each is one metrics row." min:"0" max:"1000000"`
	StepMillis int                `json:"step_ms,omitempty" doc:"Duration of a step, or of the whole without steps, in milliseconds." min:"0" max:"3600000"`
	Checkpoint int                `json:"checkpoint,omitempty" doc:"Steps between checkpoints; 0 keeps none." min:"0"`
	Metrics    map[string]float64 `json:"metrics,omitempty" doc:"Metrics to return."`
	Shards     int                `json:"shards,omitempty" doc:"Makes output data: a data set of this many shards." min:"0" max:"200000"`
	Fail       string             `json:"fail" doc:"How to fail." enum:"no,error,invalid,panic,transient"`
	FailFile   string             `json:"fail_file,omitempty" doc:"Fail only while this file does not exist."`
	FailShards []int              `json:"fail_shards,omitempty" doc:"Of a mapped stage: the shards that fail."`
}

// Noop does nothing, slowly and fallibly if asked to: for trying pipelines out,
// for the demonstration that {} runs, and for measuring the engine. Its steps
// chain a hash through its checkpoints, so that a resumed run that lost or
// repeated a step makes another output.
func Noop() Kind {
	return define(stage.Descriptor{
		Name: "noop", Version: 1, Queue: stage.CPU, Map: "over",
		Summary: "Does nothing: for trying pipelines and measuring the engine.",
		Inputs: []stage.Port{
			{Name: "after", Optional: true, Many: true, Doc: "Any artifacts; they are part of the key only."},
			{Name: "over", Type: artifact.TypeDataset, Optional: true, Doc: "The data set that a mapped stage runs over."},
		},
		Outputs: []stage.Port{{Name: "data", Type: artifact.TypeDataset, Optional: true, Doc: "A data set, where steps or shards are asked for."}},
	}, noopParams{Fail: "no"}, runNoop)
}

func runNoop(ctx context.Context, t *Task, p noopParams) error {
	if err := p.failure(t); err != nil {
		return err
	}
	state, err := countSteps(ctx, t, p)
	if err != nil {
		return err
	}
	t.Result.Metrics = maps.Clone(p.Metrics)
	if p.Steps == 0 && p.Shards == 0 {
		return nil
	}
	chain, err := artifact.PutBytes(ctx, t.Store, []byte(state))
	if err != nil {
		return err
	}
	empty, err := artifact.PutBytes(ctx, t.Store, make([]byte, 1024)) // a tar file without members
	if err != nil {
		return err
	}
	m := &artifact.Manifest{Type: artifact.TypeDataset, Files: []artifact.File{{Path: "chain.txt", Ref: chain}}}
	for i := range p.Shards {
		m.Files = append(m.Files, artifact.File{Path: fmt.Sprintf("shard-%06d.tar", i), Ref: empty})
	}
	data, err := artifact.PutManifest(ctx, t.Store, m)
	t.Result.Outputs = map[string]artifact.Artifact{"data": data}
	return err
}

// failure is the fault that was asked for.
func (p noopParams) failure(t *Task) error {
	if t.Shard != nil && len(p.FailShards) > 0 && !slices.Contains(p.FailShards, t.Shard.Index) {
		return nil
	}
	if p.FailFile != "" {
		if _, err := os.Stat(p.FailFile); err == nil {
			return nil
		}
	}
	err := errors.New("failing as asked to by parameter fail")
	switch p.Fail {
	case "error":
		return err
	case "invalid":
		return Invalid(err)
	case "transient":
		return fmt.Errorf("%w: %w", artifact.ErrTransient, err)
	case "panic":
		panic(err)
	}
	return nil
}

// noopState is what a checkpoint holds.
type noopState struct {
	Step  int64  `json:"step"`
	Chain string `json:"chain"`
}

// countSteps goes from the resume point to the last step and returns the chain.
func countSteps(ctx context.Context, t *Task, p noopParams) (string, error) {
	s := noopState{Chain: t.Key}
	if p.Checkpoint > 0 {
		_, err := t.Checkpoints.Load(ctx, func(_ int64, r io.Reader) error { return json.NewDecoder(r).Decode(&s) })
		if err != nil {
			return "", err
		}
	}
	save := func() error {
		if p.Checkpoint == 0 {
			return nil
		}
		return t.Checkpoints.Save(ctx, s.Step, func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
	}
	if p.Steps == 0 {
		return s.Chain, wait(ctx, t, p)
	}
	for s.Step < int64(p.Steps) {
		if err := wait(ctx, t, p); err != nil {
			return "", errors.Join(err, save())
		}
		s.Step++
		s.Chain = string(artifact.DigestOf([]byte(s.Chain + strconv.FormatInt(s.Step, 10))))
		t.Progress(Progress{Done: s.Step, Total: int64(p.Steps), Unit: "steps"})
		if err := t.Metrics.Write(s.Step, map[string]float64{"fraction": float64(s.Step) / float64(p.Steps)}); err != nil {
			return "", err
		}
		if p.Checkpoint > 0 && s.Step%int64(p.Checkpoint) == 0 {
			if err := save(); err != nil {
				return "", err
			}
		}
	}
	return s.Chain, nil
}

// wait takes the time of a step.
func wait(ctx context.Context, t *Task, p noopParams) error {
	if p.StepMillis == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(time.Duration(p.StepMillis) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.Stopping:
		return ErrStopped
	}
}
