package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"tempera/infra/devstack"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
)

func watchCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "watch <run>",
		Short: "Show the progress of a run until it ends; Ctrl-C detaches",
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
			return a.follow(cmd.Context(), c, e, args[0])
		},
	}
}

// pace is how often a run is asked how it stands.
const pace = 500 * time.Millisecond

// follow shows a run until it ends, prints its result and returns its failure.
// A done context detaches: the run goes on.
func (a *app) follow(ctx context.Context, c client.Client, e devstack.Endpoints, id string) error {
	ended := make(chan error, 1)
	go func() { ended <- c.GetWorkflow(ctx, id, "").Get(ctx, nil) }()
	b := newBoard(a, id)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	asked := a.json // with --json nothing is shown on the way
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return a.detach(ctx, id)
			}
			return a.ended(c, e, ending{id: id, err: err, board: b})
		case <-ctx.Done():
			return a.detach(ctx, id)
		case <-tick.C:
			if a.json {
				continue
			}
			run, err := queryRun(ctx, c, id)
			if err == nil {
				b.show(run)
			} else if !asked && noWorker(err) {
				asked = true
				a.say("no worker answers for %s yet; it goes on when one polls queue %s (`tempera worker`)", id, temporalx.WorkflowQueue)
			}
		}
	}
}

func (a *app) detach(ctx context.Context, id string) error {
	return detached(fmt.Errorf("detached from %s, which goes on; watch it again with `tempera watch %s`: %w", id, id, ctx.Err()))
}

// noWorker reports whether a query failed because nobody could answer it.
func noWorker(err error) bool {
	var precondition *serviceerror.FailedPrecondition
	return errors.As(err, &precondition) || errors.Is(err, context.DeadlineExceeded)
}

// ending is a run that has ended.
type ending struct {
	id    string
	err   error
	board *board
}

// ended shows the last state, prints the summary and turns the run's failure
// into an exit code.
func (a *app) ended(c client.Client, e devstack.Endpoints, end ending) error {
	var missing *serviceerror.NotFound
	if errors.As(end.err, &missing) {
		return wrong(fmt.Errorf("there is no run %s: see `tempera runs list`", end.id))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	info, err := describe(ctx, c, e, end.id)
	if err != nil {
		return err
	}
	run, queryErr := queryRun(ctx, c, end.id)
	if queryErr == nil {
		info.fill(run)
		if !a.json {
			end.board.show(run)
		}
		a.addResults(ctx, &info)
	}
	if end.err != nil {
		info.Error = cause(end.err)
	}
	if err := a.print(info, func(w io.Writer) { showSummary(w, info) }); err != nil {
		return err
	}
	if end.err == nil {
		return nil
	}
	return failed(fmt.Errorf("run %s: %s", end.id, info.Error))
}

// cause is the innermost message of a workflow's failure: the layers above it
// repeat names that a person sees elsewhere.
func cause(err error) string {
	var app *temporal.ApplicationError
	for e := err; e != nil; e = errors.Unwrap(e) {
		if found, ok := e.(*temporal.ApplicationError); ok { //nolint:errorlint // the innermost is wanted, As finds the outermost
			app = found
		}
	}
	var cancelled *temporal.CanceledError
	var timeout *temporal.TimeoutError
	var terminated *temporal.TerminatedError
	switch {
	case app != nil:
		return app.Message()
	case errors.As(err, &cancelled):
		return "cancelled"
	case errors.As(err, &terminated):
		return "terminated"
	case errors.As(err, &timeout):
		return "timed out"
	}
	return err.Error()
}

// runInfo is what is told of one run.
type runInfo struct {
	Workflow string               `json:"workflow_id"`
	Run      string               `json:"run_id"`
	Type     string               `json:"type"`
	Pipeline string               `json:"pipeline,omitempty"`
	Status   string               `json:"status"`
	Started  time.Time            `json:"started,omitzero"`
	Closed   time.Time            `json:"closed,omitzero"`
	Failed   int64                `json:"failed_stages"`
	Error    string               `json:"error,omitempty"`
	UI       string               `json:"ui,omitempty"`
	Folder   string               `json:"folder,omitempty"`  // name in the bucket
	Console  string               `json:"console,omitempty"` // the folder in MinIO's console
	Counts   *dag.Counts          `json:"counts,omitempty"`
	Stages   map[string]stageInfo `json:"stages,omitempty"`
	Results  []string             `json:"results,omitempty"` // the table of each comparison, in Markdown
	Repairs  []string             `json:"repairs,omitempty"` // how to mend what failed, while the run waits for that
	order    []string
}

// stageInfo is one stage of a run.
type stageInfo struct {
	Kind    string `json:"kind"`
	State   string `json:"state"`
	Message string `json:"message,omitempty"`
	dag.Status
}

// fill adds what the run itself answers.
func (r *runInfo) fill(run *dag.Run) {
	counts := run.Counts()
	r.Counts, r.Pipeline = &counts, run.Plan().Name
	if r.Closed.IsZero() {
		r.Repairs = repairs(run, r.Workflow)
	}
	r.Stages = make(map[string]stageInfo, len(run.Plan().Nodes))
	for id, state := range statesOf(run) {
		s := run.Status(id)
		r.Stages[id] = stageInfo{Kind: run.Node(id).Kind, State: string(state), Message: s.Message, Status: s}
	}
	for _, n := range run.Plan().Nodes {
		r.order = append(r.order, n.ID)
	}
}

// statusName is how a status is told: running, completed, failed.
func statusName(s enums.WorkflowExecutionStatus) string {
	switch s {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING, enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
		return "running"
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return "completed"
	case enums.WORKFLOW_EXECUTION_STATUS_FAILED:
		return "failed"
	case enums.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return "cancelled"
	case enums.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return "terminated"
	case enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return "timed out"
	case enums.WORKFLOW_EXECUTION_STATUS_PAUSED:
		return "paused"
	case enums.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED:
	}
	return "unknown"
}
