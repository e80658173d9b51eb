package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"tempera/activities"
	"tempera/infra/artifact"
	"tempera/infra/devstack"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
)

func runsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "runs",
		Short: "List, show, repair and end runs",
	}
	c.AddCommand(runsListCommand(a), runsShowCommand(a), runsTimingsCommand(a))
	c.AddCommand(runsActionCommands(a)...)
	return c
}

func runsListCommand(a *app) *cobra.Command {
	var (
		pipeline string
		status   string
		limit    int
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List runs, the newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := listQuery(pipeline, status)
			if err != nil {
				return err
			}
			if limit < 1 {
				return wrong(errors.New("--limit: want at least 1"))
			}
			e, err := a.endpoints()
			if err != nil {
				return err
			}
			c, err := a.temporal(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer c.Close()
			runs, err := listRuns(cmd.Context(), c, e, query, limit)
			if err != nil {
				return err
			}
			return a.print(runs, func(w io.Writer) { showRuns(w, runs) })
		},
	}
	f := c.Flags()
	f.StringVar(&pipeline, "pipeline", "", "only runs of this pipeline")
	f.StringVar(&status, "status", "", "only runs that are "+strings.Join(slices.Sorted(maps.Keys(statuses)), ", "))
	f.IntVar(&limit, "limit", 20, "at most so many")
	return c
}

// statuses are what --status takes and the server's names.
var statuses = map[string]string{
	"running": "Running", "completed": "Completed", "failed": "Failed", "cancelled": "Canceled", "terminated": "Terminated",
}

// listQuery selects runs: workflows with a pipeline and without a stage.
func listQuery(pipeline, status string) (string, error) {
	query := fmt.Sprintf("%s IS NOT NULL AND %s IS NULL AND ExecutionStatus != 'ContinuedAsNew'",
		temporalx.PipelineAttribute.GetName(), temporalx.StageAttribute.GetName())
	if pipeline != "" {
		if strings.ContainsAny(pipeline, `'"\`) {
			return "", wrong(fmt.Errorf("--pipeline %q: want a name without quotes", pipeline))
		}
		query += fmt.Sprintf(" AND %s = '%s'", temporalx.PipelineAttribute.GetName(), pipeline)
	}
	if status != "" {
		name, ok := statuses[status]
		if !ok {
			return "", wrong(fmt.Errorf("--status %q: want %s", status, strings.Join(slices.Sorted(maps.Keys(statuses)), ", ")))
		}
		query += fmt.Sprintf(" AND ExecutionStatus = '%s'", name)
	}
	return query, nil
}

func listRuns(ctx context.Context, c client.Client, e devstack.Endpoints, query string, limit int) ([]runInfo, error) {
	runs := []runInfo{}
	var next []byte
	for {
		r, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: e.Temporal.Namespace, Query: query, PageSize: int32(min(limit, 100)), NextPageToken: next,
		})
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		for _, x := range r.GetExecutions() {
			if runs = append(runs, infoOf(x, e)); len(runs) == limit {
				return runs, nil
			}
		}
		if next = r.GetNextPageToken(); len(next) == 0 {
			return runs, nil
		}
	}
}

// infoOf reads what the server keeps of a run.
func infoOf(x *workflow.WorkflowExecutionInfo, e devstack.Endpoints) runInfo {
	r := runInfo{
		Workflow: x.GetExecution().GetWorkflowId(), Run: x.GetExecution().GetRunId(), Type: x.GetType().GetName(),
		Status: statusName(x.GetStatus()), Started: x.GetStartTime().AsTime(),
	}
	if t := x.GetCloseTime(); t != nil {
		r.Closed = t.AsTime()
	}
	fields := x.GetSearchAttributes().GetIndexedFields()
	decode := converter.GetDefaultDataConverter().FromPayload
	if p := fields[temporalx.PipelineAttribute.GetName()]; p != nil {
		_ = decode(p, &r.Pipeline) // an attribute of another type is shown as missing
	}
	if p := fields[temporalx.FailedAttribute.GetName()]; p != nil {
		_ = decode(p, &r.Failed)
	}
	r.UI = runURL(e.Temporal, r.Workflow, r.Run)
	if r.Pipeline != "" {
		r.Folder = artifact.RunName(r.Pipeline, activities.RunFolder(r.Workflow), "") + "/"
		r.Console = e.S3.ConsoleURL(r.Folder)
	}
	return r
}

func describe(ctx context.Context, c client.Client, e devstack.Endpoints, id string) (runInfo, error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return runInfo{}, wrong(fmt.Errorf("there is no run %s: see `tempera runs list`", id))
	}
	if err != nil {
		return runInfo{}, fmt.Errorf("look at run %s: %w", id, err)
	}
	return infoOf(d.GetWorkflowExecutionInfo(), e), nil
}

func showRuns(w io.Writer, runs []runInfo) {
	if len(runs) == 0 {
		fmt.Fprintln(w, "no runs; `tempera start` makes one")
		return
	}
	var rows [][]string
	for _, r := range runs {
		state := r.Status
		if r.Failed > 0 && r.Status == "running" {
			state = fmt.Sprintf("%d stages wait for repair", r.Failed)
		}
		rows = append(rows, []string{r.Workflow, r.Pipeline, state, clock(r.Started), r.took()})
	}
	table(w, []string{"RUN", "PIPELINE", "STATE", "STARTED", "TOOK"}, rows)
}

func (r runInfo) took() string {
	if r.Closed.IsZero() {
		return duration(time.Since(r.Started))
	}
	return duration(r.Closed.Sub(r.Started))
}

func runsShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show <run>",
		Short: "Show a run and its stages",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.endpoints()
			if err != nil {
				return err
			}
			c, err := a.temporal(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer c.Close()
			info, err := describe(cmd.Context(), c, e, args[0])
			if err != nil {
				return err
			}
			run, err := queryRun(cmd.Context(), c, args[0])
			switch {
			case err == nil:
				info.fill(run)
				a.addResults(cmd.Context(), &info)
			case noWorker(err):
				a.say("no worker answers, so the stages cannot be shown; start one with `tempera worker`")
			default:
				return fmt.Errorf("ask run %s: %w", args[0], err)
			}
			return a.print(info, func(w io.Writer) { showSummary(w, info) })
		},
	}
}

// showSummary prints a run, its stages and where to look further.
func showSummary(w io.Writer, r runInfo) {
	fmt.Fprintf(w, "run %s of %s: %s, %s\n", r.Workflow, r.Pipeline, r.Status, r.took())
	if len(r.order) > 0 {
		var rows [][]string
		for _, id := range r.order {
			s := r.Stages[id]
			text, metrics := oneLine(s.Message), ""
			if s.Result != nil {
				text = duration(time.Duration(s.Result.Seconds * float64(time.Second)))
				if s.Result.Cached {
					text = "known before"
				}
				metrics = metricsText(s.Result, 4)
			}
			rows = append(rows, []string{id, s.Kind, s.State, cut(text, 80), metrics})
		}
		fmt.Fprintln(w)
		table(w, []string{"STAGE", "KIND", "STATE", "", "METRICS"}, rows)
		fmt.Fprintln(w)
	}
	for _, id := range r.order {
		if s := r.Stages[id]; s.State == string(dag.Failed) {
			fmt.Fprintf(w, "%s failed: %s\n", id, oneLine(s.Message))
		}
	}
	for _, text := range append(r.Repairs, r.Results...) {
		fmt.Fprintln(w, text)
	}
	for _, link := range [][2]string{{"in Temporal's UI", r.UI}, {"in the console", r.Console}, {"in the bucket", r.Folder}} {
		if link[1] != "" {
			fmt.Fprintf(w, "%-17s %s\n", link[0]+":", link[1])
		}
	}
}
