package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// driver carries out a plan: it starts what the dag.Run says is ready and tells
// it what became of it.
type driver struct {
	id     string // workflow ID of the run
	began  time.Time
	plan   *dag.Plan
	ranks  map[string]int // priorities of the stages
	run    *dag.Run
	known  map[string]stage.Result // results that were committed before the start, by key
	folder string
	digest string

	active  int                            // coroutines that run a stage
	cancels map[string]workflow.CancelFunc // of running stages
	leaders map[string]string              // key -> the stage that computes it in this run
	sharers map[string][]string            // key -> stages of this run that wait for the leader
	history map[string]*stage.StageRecord
	changed bool
	failed  int // as the search attribute says
}

func newDriver(ctx workflow.Context, plan *dag.Plan, planned stage.PlanResult) *driver {
	if planned.Known == nil {
		planned.Known = map[string]stage.Result{}
	}
	ranks := make(map[string]int, len(plan.Nodes))
	for i, p := range plan.Priorities() {
		ranks[plan.Nodes[i].ID] = p
	}
	return &driver{
		id: workflow.GetInfo(ctx).WorkflowExecution.ID, began: workflow.Now(ctx),
		plan: plan, ranks: ranks, run: dag.NewRun(plan), known: planned.Known, folder: planned.Folder, digest: string(planned.Digest),
		cancels: map[string]workflow.CancelFunc{}, leaders: map[string]string{}, sharers: map[string][]string{},
		history: map[string]*stage.StageRecord{},
	}
}

// drive runs until every stage has ended, or has failed for good.
func (d *driver) drive(ctx workflow.Context) (*Outcome, error) {
	workflow.Go(ctx, d.watch)
	for {
		d.changed = false
		if ctx.Err() == nil {
			d.startReady(ctx)
		}
		d.show(ctx)
		if d.active == 0 && d.run.Done() {
			return d.end(ctx)
		}
		var err error
		if d.beyondHelp() {
			repaired := false
			repaired, err = d.awaitRepair(ctx)
			if err == nil && !repaired {
				return nil, d.fail(ctx)
			}
		} else {
			err = workflow.Await(ctx, func() bool { return d.changed })
		}
		if err != nil {
			return nil, d.cancelled(ctx, err)
		}
	}
}

// beyondHelp tells that nothing goes on unless a failed stage is repaired.
func (d *driver) beyondHelp() bool {
	c := d.run.Counts()
	return d.active == 0 && d.run.Stalled() && c.Failed > 0 && c.Approval == 0
}

// awaitRepair waits for a person's retry, skip or cancel; false says that none
// came in time.
func (d *driver) awaitRepair(ctx workflow.Context) (bool, error) {
	wait := time.Duration(d.plan.Repair)
	if wait <= 0 {
		return false, ctx.Err()
	}
	if err := d.publish(ctx, "waiting for repair"); err != nil {
		return false, err
	}
	return workflow.AwaitWithTimeout(ctx, wait, func() bool { return d.changed })
}

// startReady starts every stage that may run. Known results are taken at once
// and may make further stages ready.
func (d *driver) startReady(ctx workflow.Context) {
	for ids := d.run.Ready(); len(ids) > 0; ids = d.run.Ready() {
		for _, id := range ids {
			d.start(ctx, id)
		}
	}
}

func (d *driver) start(ctx workflow.Context, id string) {
	d.must(d.run.Started(id))
	q, err := d.run.Request(id, d.id)
	d.begin(ctx, id, q)
	if err != nil {
		d.finish(ctx, id, stage.Result{}, err)
		return
	}
	if res, ok := d.known[q.Key]; ok && q.Force == "" {
		d.finish(ctx, id, res, nil)
		return
	}
	if _, busy := d.leaders[q.Key]; busy {
		d.sharers[q.Key] = append(d.sharers[q.Key], id)
		return
	}
	d.leaders[q.Key] = id
	d.active++
	own, cancel := workflow.WithCancel(ctx)
	d.cancels[id] = cancel
	workflow.GoNamed(own, id, func(own workflow.Context) {
		res, err := d.compute(own, q)
		d.active--
		delete(d.cancels, id)
		delete(d.leaders, q.Key)
		cancel()
		d.finish(ctx, id, res, err)
		d.release(ctx, q.Key, res, err)
	})
}

// release hands the leader's result to the stages that waited for it. A leader
// that was cancelled leaves them to start anew.
func (d *driver) release(ctx workflow.Context, key string, res stage.Result, err error) {
	waiting := d.sharers[key]
	delete(d.sharers, key)
	if err == nil {
		res.Cached = true
		d.known[key] = res // a later stage of this run with this key is done too
	}
	for _, id := range waiting {
		switch {
		case d.run.Status(id).State != dag.Running: // cancelled meanwhile
		case err != nil && temporal.IsCanceledError(err):
			d.must(d.run.Requeue(id))
		default:
			d.finish(ctx, id, res, err)
		}
	}
	d.changed = true
}

// finish records what became of a stage. A stage that is not running any more
// was cancelled, and its end is no news.
func (d *driver) finish(ctx workflow.Context, id string, res stage.Result, err error) {
	d.changed = true
	d.note(ctx, id, res, err)
	switch {
	case d.run.Status(id).State != dag.Running:
	case err == nil:
		d.must(d.run.Succeeded(id, res))
	case temporal.IsCanceledError(err) && ctx.Err() == nil:
		d.must(d.run.Failed(id, "its workflow was cancelled: retry it, or cancel it here"))
	case temporal.IsCanceledError(err):
		d.must(d.run.Cancel(id, "the run was cancelled"))
	default:
		d.must(d.run.Failed(id, message(err)))
	}
}

// must panics on a transition that the driver itself got wrong.
func (d *driver) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("run %s: %v", d.id, err))
	}
}

// summaryLimit is how many siblings may have a summary each: labels of the
// timeline, bytes of the history.
const summaryLimit = 200

// StageWorkflowID is the ID of the workflow that computes a stage. It carries
// the key, so that two runs that need the same result compute it once; a forced
// computation is the forcing run's own.
func StageWorkflowID(q stage.Request) string {
	if q.Force != "" {
		return "stage/" + q.Key + "/" + q.Force
	}
	return "stage/" + q.Key
}

// compute runs the child workflow of a stage, or waits for that of another run.
func (d *driver) compute(ctx workflow.Context, q stage.Request) (stage.Result, error) {
	node := d.run.Node(q.Stage)
	if err := d.brief(ctx, node); err != nil {
		return stage.Result{}, err
	}
	options := workflow.ChildWorkflowOptions{
		WorkflowID:          StageWorkflowID(q),
		TaskQueue:           temporalx.WorkflowQueue,
		WaitForCancellation: true,
		ParentClosePolicy:   parentClose,
	}
	if workflow.GetInfo(ctx).Priority.PriorityKey == 0 { // else the stages have that of the run
		options.Priority.PriorityKey = d.ranks[q.Stage]
	}
	if len(d.plan.Nodes) <= summaryLimit {
		options.StaticSummary = q.Stage + ": " + q.Kind
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			temporalx.PipelineAttribute.ValueSet(d.plan.Name), temporalx.StageAttribute.ValueSet(q.Stage), temporalx.KindAttribute.ValueSet(q.Kind))
		options.Memo = map[string]any{"run": d.id}
	}
	in := StageInput{Request: q, Policy: node.Policy, Map: node.Map}
	for {
		var res stage.Result
		err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), StageName, in).Get(ctx, &res)
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return res, err
		}
		err = workflow.ExecuteActivity(awaiting(ctx, q.Stage), stage.ActivityAwait, options.WorkflowID).Get(ctx, &res)
		if err == nil || !stopped(err) {
			return res, err
		}
		// The other run was stopped before it got there: this one computes.
	}
}

// awaiting is the context of the activity that waits for another run's stage.
func awaiting(ctx workflow.Context, id string) workflow.Context {
	options := workflow.GetActivityOptions(light(ctx, id+": computed by another run"))
	options.StartToCloseTimeout = 30 * 24 * time.Hour
	return workflow.WithActivityOptions(ctx, options)
}

// stopped tells whether a stage's workflow was ended from outside.
func stopped(err error) bool { return strings.HasPrefix(errorType(err), stage.Stopped) }
