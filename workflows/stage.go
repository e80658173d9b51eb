package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// StageInput is what Stage computes, and how.
type StageInput struct {
	stage.Request
	Policy dag.Policy `json:"policy"`
	Map    *dag.Map   `json:"map,omitempty"`
	Shards *Shards    `json:"shards,omitempty"` // state of a mapped stage that continues as new
}

// Stage computes one stage. Its ID carries the stage's key, which is how equal
// stages of several runs are computed once.
func Stage(ctx workflow.Context, in StageInput) (stage.Result, error) {
	if in.Map != nil {
		return mapShards(ctx, in)
	}
	return attempts(ctx, in, in.Request, in.Stage+": "+in.Kind)
}

// serverAttempts bounds what the server retries by itself: lost workers, a store
// that is away, a full disk. With a minute between attempts it lasts for hours;
// without a bound a stage that kills its worker each time would go on for ever.
const serverAttempts = 1000

// attempts runs a kind until it succeeds, fails for good, or has failed as often
// as its policy allows. What is not the stage's own failure does not count: the
// server retries that, and the resume point is in the store.
func attempts(ctx workflow.Context, in StageInput, q stage.Request, summary string) (stage.Result, error) {
	options := workflow.ActivityOptions{
		TaskQueue:           temporalx.ActivityQueue(string(in.Policy.Queue)),
		StartToCloseTimeout: time.Duration(in.Policy.Timeout),
		HeartbeatTimeout:    heartbeatTimeout,
		WaitForCancellation: true,
		Summary:             summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Duration(in.Policy.Interval), BackoffCoefficient: 2, MaximumInterval: max(maxInterval, time.Duration(in.Policy.Interval)),
			MaximumAttempts: serverAttempts,
		},
	}
	wait := time.Duration(in.Policy.Interval)
	for n := 1; ; n++ {
		var res stage.Result
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), q.Kind, q).Get(ctx, &res)
		if err == nil {
			return res, nil
		}
		typ := errorType(err)
		counts := typ == stage.StageFailed || typ == stage.Panicked
		if !counts || n >= in.Policy.Attempts || temporal.IsCanceledError(err) {
			return res, err
		}
		if err := workflow.Sleep(ctx, wait); err != nil {
			return res, err
		}
		wait = min(2*wait, max(maxInterval, wait))
	}
}
