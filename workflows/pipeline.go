package workflows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/artifact"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// Outcome is what a run returns.
type Outcome struct {
	Pipeline string                  `json:"pipeline"`
	Run      string                  `json:"run"`
	Summary  string                  `json:"summary"`
	Folder   string                  `json:"folder,omitempty"` // where the run folder can be looked at
	Stages   map[string]stage.Result `json:"stages,omitempty"` // of runs with at most 200 stages
}

// Pipeline runs a spec: a JSON object, or a string that holds YAML. An empty
// object runs a demonstration of a few seconds.
func Pipeline(ctx workflow.Context, input json.RawMessage) (*Outcome, error) {
	if isEmpty(input) {
		return runSpec(ctx, demo())
	}
	return run(ctx, input)
}

func isEmpty(input json.RawMessage) bool {
	var m map[string]json.RawMessage
	s := bytes.TrimSpace(input)
	return len(s) == 0 || bytes.Equal(s, []byte(`""`)) || json.Unmarshal(s, &m) == nil && len(m) == 0
}

// runSpec runs a spec that was built in Go.
func runSpec(ctx workflow.Context, spec *dag.Spec) (*Outcome, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, invalidPipeline(err)
	}
	return run(ctx, raw)
}

func invalidPipeline(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), stage.InvalidPipeline, nil)
}

// run plans a spec and drives the plan to its end.
func run(ctx workflow.Context, spec json.RawMessage) (*Outcome, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	var planned stage.PlanResult
	err := workflow.ExecuteActivity(light(ctx, "check and plan"), stage.ActivityPlan, stage.PlanRequest{Spec: spec, Run: id}).Get(ctx, &planned)
	if err != nil {
		return nil, plain(err)
	}
	var plan dag.Plan
	if err := json.Unmarshal(planned.Plan, &plan); err != nil {
		return nil, invalidPipeline(fmt.Errorf("read the plan: %w", err))
	}
	d := newDriver(ctx, &plan, planned)
	if err := d.announce(ctx, planned.Digest); err != nil {
		return nil, err
	}
	if err := d.handle(ctx); err != nil {
		return nil, err
	}
	if err := d.publish(ctx, "running"); err != nil {
		return nil, plain(err)
	}
	return d.drive(ctx)
}

// announce makes the run findable.
func (d *driver) announce(ctx workflow.Context, digest artifact.Digest) error {
	how := "by hand"
	info := workflow.GetInfo(ctx)
	if by, ok := workflow.GetTypedSearchAttributes(ctx).GetKeyword(temporal.NewSearchAttributeKeyKeyword("TemporalScheduledById")); ok {
		how = "by schedule " + by
	} else if p := info.ParentWorkflowExecution; p != nil {
		how = "by workflow " + p.ID
	}
	err := workflow.UpsertMemo(ctx, map[string]any{"pipeline": d.plan.Name, "plan": string(digest), "started": how})
	if err != nil {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx, temporalx.PipelineAttribute.ValueSet(d.plan.Name), temporalx.FailedAttribute.ValueSet(0))
}

// light is the context of the activities that run on the workflows' queue.
func light(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           temporalx.WorkflowQueue,
		StartToCloseTimeout: lightTimeout,
		HeartbeatTimeout:    heartbeatTimeout,
		Summary:             summary,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: maxInterval},
	})
}

const (
	lightTimeout     = 10 * time.Minute
	maxInterval      = time.Minute
	heartbeatTimeout = 10 * time.Second
)

// plain strips what the server wraps around an activity's error, so that a
// person reads the message itself.
func plain(err error) error {
	var app *temporal.ApplicationError
	if temporal.IsCanceledError(err) || !errors.As(err, &app) {
		return err
	}
	return temporal.NewNonRetryableApplicationError(app.Message(), app.Type(), nil)
}

// message is what the stage itself said, without what the server wraps around it.
func message(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return err.Error()
}
