package workflows

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// parentClose lets the stages of a run that was terminated write a checkpoint.
const parentClose = enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL

// PipelineFailed is the type of the error of a run that nobody repaired.
const PipelineFailed = "PipelineFailed"

// end closes a run of which every stage has ended.
func (d *driver) end(ctx workflow.Context) (*Outcome, error) {
	state := "completed"
	c := d.run.Counts()
	if c.Cancelled > 0 && c.Succeeded == 0 {
		state = "cancelled"
	}
	d.show(ctx)
	if err := d.publish(ctx, state); err != nil {
		return nil, plain(err)
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return nil, err
	}
	out := &Outcome{Pipeline: d.plan.Name, Run: d.id, Summary: d.run.Summary(), Folder: d.folder}
	if len(d.plan.Nodes) <= summaryLimit {
		out.Stages = map[string]stage.Result{}
		for _, n := range d.plan.Nodes {
			if res := d.run.Status(n.ID).Result; res != nil {
				short := *res
				short.Quarantined = nil // the stage's commit lists them
				out.Stages[n.ID] = short
			}
		}
	}
	return out, nil
}

// fail closes a run that nobody repaired.
func (d *driver) fail(ctx workflow.Context) error {
	var lines []string
	for _, id := range d.run.In(dag.Failed) {
		lines = append(lines, fmt.Sprintf("%s: %s", id, d.run.Status(id).Message))
	}
	more := ""
	if n := len(lines) - 10; n > 0 {
		lines, more = lines[:10], fmt.Sprintf("\nand %d more", n)
	}
	err := temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("%d of %d stages failed; start the run again and it goes on from what is done\n%s%s",
			d.run.Counts().Failed, len(d.plan.Nodes), strings.Join(lines, "\n"), more), PipelineFailed, nil)
	if e := d.publish(ctx, "failed"); e != nil {
		workflow.GetLogger(ctx).Warn("the run record is not up to date", "error", e)
	}
	return err
}

// cancelled closes a run that was cancelled: its stages checkpoint first.
func (d *driver) cancelled(ctx workflow.Context, cause error) error {
	detached, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(detached, func() bool { return d.active == 0 }); err != nil {
		return err
	}
	d.run.CancelAll("the run was cancelled")
	d.show(detached)
	if err := d.publish(detached, "cancelled"); err != nil {
		workflow.GetLogger(ctx).Warn("the run record is not up to date", "error", err)
	}
	return cause
}

// show brings the details and the search attribute up to date.
func (d *driver) show(ctx workflow.Context) {
	namespace := workflow.GetInfo(ctx).Namespace
	var links []dag.Link
	if d.folder != "" {
		links = append(links, dag.Link{Title: "run folder with report", URL: d.folder})
	}
	workflow.SetCurrentDetails(ctx, d.run.Details(dag.DetailsOptions{Links: links, StageLink: func(id string) string {
		h := d.history[id]
		if h == nil || h.Key == "" || h.Cached {
			return ""
		}
		q := stage.Request{Key: h.Key}
		if d.run.Node(id).Force {
			q.Force = d.id
		}
		return "/namespaces/" + namespace + "/workflows/" + strings.ReplaceAll(StageWorkflowID(q), "/", "%2F")
	}}))
	if failed := d.run.Counts().Failed; failed != d.failed {
		d.failed = failed
		if err := workflow.UpsertTypedSearchAttributes(ctx, temporalx.FailedAttribute.ValueSet(int64(failed))); err != nil {
			workflow.GetLogger(ctx).Warn("search attribute FailedStages is not up to date", "error", err)
		}
	}
}

// errorType is the type of the innermost application error.
func errorType(err error) string {
	typ := ""
	for e := err; e != nil; e = errors.Unwrap(e) {
		if a, ok := e.(*temporal.ApplicationError); ok { //nolint:errorlint // the innermost is wanted, As finds the outermost
			typ = a.Type()
		}
	}
	return typ
}
