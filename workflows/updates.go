package workflows

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// Command is what the updates of a run take.
type Command struct {
	Stage  string          `json:"stage,omitempty"`
	By     string          `json:"by,omitempty"`
	Why    string          `json:"why,omitempty"`
	Params json.RawMessage `json:"params,omitempty"` // of retry: parameters to change
}

// The updates and queries of a run.
const (
	UpdateApprove = "approve"
	UpdateRetry   = "retry"
	UpdateSkip    = "skip"
	UpdateCancel  = "cancel"
	UpdatePause   = "pause"
	UpdateResume  = "resume"
	QueryStatus   = "status"
	QueryPlan     = "plan"
)

// update is one update of a run.
type update struct {
	name, doc string
	check     func(Command) error
	do        func(workflow.Context, Command) error
}

// handle installs the updates and queries.
func (d *driver) handle(ctx workflow.Context) error {
	faults := []error{
		workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (*dag.Run, error) { return d.run, nil },
			workflow.QueryHandlerOptions{Description: "the state of every stage"}),
		workflow.SetQueryHandlerWithOptions(ctx, QueryPlan, func() (*dag.Plan, error) { return d.plan, nil },
			workflow.QueryHandlerOptions{Description: "the resolved plan"}),
	}
	for _, u := range d.updates() {
		faults = append(faults, workflow.SetUpdateHandlerWithOptions(ctx, u.name,
			func(ctx workflow.Context, c Command) (string, error) {
				if err := u.do(ctx, c); err != nil {
					return "", temporal.NewNonRetryableApplicationError(message(err), stage.InvalidInput, nil)
				}
				d.changed = true
				return d.run.Summary(), nil
			},
			workflow.UpdateHandlerOptions{Description: u.doc, Validator: func(_ workflow.Context, c Command) error { return u.check(c) }}))
	}
	return errors.Join(faults...)
}

func (d *driver) updates() []update {
	can := func(a dag.Action) func(Command) error {
		return func(c Command) error { return d.run.Can(a, c.Stage) }
	}
	return []update{
		{UpdateApprove, `Let a stage through its gate: {"stage": "train", "by": "ada", "why": "the samples look right"}`, d.canApprove, d.approve},
		{UpdateRetry, `Run a failed stage again, with changed parameters if wished: {"stage": "train", "params": {"steps": 500}}`, can(dag.ActionRetry), d.retry},
		{
			UpdateSkip, `Go on without a stage: {"stage": "train", "why": "not needed"}`, can(dag.ActionSkip),
			func(_ workflow.Context, c Command) error { return d.run.Skip(c.Stage, d.reason(c, "skipped")) },
		},
		{UpdateCancel, `Stop a stage and those that wait for it: {"stage": "train"}`, can(dag.ActionCancel), d.cancel},
		{
			UpdatePause, `Start no further stage until resume; what runs goes on: {}`, d.isPaused(false),
			func(workflow.Context, Command) error { d.run.Pause(); return nil },
		},
		{
			UpdateResume, `End a pause: {}`, d.isPaused(true),
			func(workflow.Context, Command) error { d.run.Resume(); return nil },
		},
	}
}

func (d *driver) isPaused(want bool) func(Command) error {
	return func(Command) error {
		if d.run.Paused() == want {
			return nil
		}
		if want {
			return errors.New("the run is not paused")
		}
		return errors.New("the run is paused already")
	}
}

func (d *driver) canApprove(c Command) error {
	if c.By == "" {
		return fmt.Errorf(`cannot approve stage %q: say who approves it: {"stage": %q, "by": "..."}`, c.Stage, c.Stage)
	}
	return d.run.Can(dag.ActionApprove, c.Stage)
}

func (d *driver) approve(_ workflow.Context, c Command) error {
	return d.run.Approve(c.Stage, c.By, c.Why)
}

func (d *driver) reason(c Command, what string) string {
	text := what
	if c.By != "" {
		text += " by " + c.By
	}
	if c.Why != "" {
		text += ": " + c.Why
	}
	return text
}

// retry checks changed parameters before anything changes.
func (d *driver) retry(ctx workflow.Context, c Command) error {
	var params json.RawMessage
	if !isEmpty(c.Params) {
		q := stage.ResolveRequest{Kind: d.run.Node(c.Stage).Kind, Params: d.run.Params(c.Stage), Change: c.Params}
		if err := workflow.ExecuteActivity(light(ctx, c.Stage+": check parameters"), stage.ActivityResolve, q).Get(ctx, &params); err != nil {
			return err
		}
	}
	return d.run.Retry(c.Stage, params)
}

// cancel ends a stage and stops what runs of it.
func (d *driver) cancel(_ workflow.Context, c Command) error {
	if err := d.run.Cancel(c.Stage, d.reason(c, "cancelled")); err != nil {
		return err
	}
	if stop := d.cancels[c.Stage]; stop != nil {
		stop()
	}
	return nil
}
