package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// AwaitStage waits for a stage that another run is computing, by the ID of its
// workflow. Where the other run failed, its error is of the other's type;
// where it was stopped, of type stage.Stopped: the caller computes the stage.
func (r *Runtime) AwaitStage(ctx context.Context, workflowID string) (stage.Result, error) {
	defer r.alive(ctx)()
	var result stage.Result
	err := r.Client.GetWorkflow(ctx, workflowID, "").Get(ctx, &result)
	var failed *temporal.ApplicationError
	var ended *temporal.WorkflowExecutionError
	// The errors carry no cause: a caller must not take the other's cancellation
	// for its own.
	switch {
	case err == nil:
		result.Cached = true
		return result, nil
	case ctx.Err() != nil:
		return result, ctx.Err()
	case errors.As(err, &failed):
		return result, temporal.NewNonRetryableApplicationError(failed.Message(), failed.Type(), nil)
	case errors.As(err, &ended):
		return result, temporal.NewNonRetryableApplicationError("the run that computed the stage was stopped", stage.Stopped, nil)
	}
	return result, err // the server is away
}

// ProgressOf reads the progress of running stages from the heartbeats of their
// activities, by the ID of the stage's workflow.
func (r *Runtime) ProgressOf(ctx context.Context, workflowIDs []string) (map[string]dag.Progress, error) {
	defer r.alive(ctx)()
	found := map[string]dag.Progress{}
	for _, id := range workflowIDs {
		p, ok, err := r.progressOf(ctx, id)
		var gone *serviceerror.NotFound
		if err != nil && !errors.As(err, &gone) {
			return nil, fmt.Errorf("progress of %s: %w", id, err)
		}
		if ok {
			found[id] = p
		}
	}
	return found, nil
}

func (r *Runtime) progressOf(ctx context.Context, id string) (dag.Progress, bool, error) {
	d, err := r.Client.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return dag.Progress{}, false, err
	}
	// A mapped stage counts its shards itself.
	var p dag.Progress
	if len(d.GetPendingActivities()) != 1 {
		answer, err := r.Client.QueryWorkflow(ctx, id, "", stage.QueryProgress)
		if err != nil {
			return p, false, nil //nolint:nilerror // a stage that cannot answer now has no progress to show
		}
		return p, answer.Get(&p) == nil && p.Total > 0, nil
	}
	p, ok := beatOf(d)
	return p, ok, nil
}

// queued is the progress of a stage for which no worker has a free slot yet.
const queued = "(queued for a worker)"

// beatOf returns the progress in the heartbeat of the only activity of a stage,
// or what a stage that is not at work waits for.
func beatOf(d *workflowservice.DescribeWorkflowExecutionResponse) (dag.Progress, bool) {
	a := d.GetPendingActivities()[0]
	if a.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED {
		if why := a.GetLastFailure().GetMessage(); why != "" {
			return dag.Progress{Note: fmt.Sprintf("attempt %d follows: %s", a.GetAttempt(), why)}, true
		}
		return dag.Progress{Note: queued}, true
	}
	var b Beat
	if a.GetState() != enums.PENDING_ACTIVITY_STATE_STARTED || a.GetHeartbeatDetails() == nil ||
		converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &b) != nil || b.Total == 0 {
		return dag.Progress{}, false
	}
	p := dag.Progress{Done: b.Done, Total: b.Total, Unit: b.Unit, Note: b.Note}
	if n := a.GetAttempt(); n > 1 {
		p.Note = strings.TrimSpace(fmt.Sprintf("%s (attempt %d%s)", p.Note, n, resumption(b)))
	}
	return p, true
}

// resumption tells where an attempt went on.
func resumption(b Beat) string {
	if b.Resumed == 0 {
		return ""
	}
	return fmt.Sprintf(", resumed from %d", b.Resumed)
}
