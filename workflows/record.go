package workflows

import (
	"encoding/json"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/infra/artifact"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// begin notes that a stage was started.
func (d *driver) begin(ctx workflow.Context, id string, q stage.Request) {
	h := d.history[id]
	if h == nil {
		h = &stage.StageRecord{ID: id, Kind: d.run.Node(id).Kind}
		d.history[id] = h
	}
	h.Key, h.Inputs, h.Cached = q.Key, q.Inputs, false
	h.Starts = append(h.Starts, stage.Start{Began: workflow.Now(ctx)})
}

// note notes how a start ended.
func (d *driver) note(ctx workflow.Context, id string, res stage.Result, err error) {
	h := d.history[id]
	start := &h.Starts[len(h.Starts)-1]
	now := workflow.Now(ctx)
	start.Ended = &now
	switch {
	case err == nil:
		start.Outcome = "succeeded"
		h.Cached = res.Cached
	case temporal.IsCanceledError(err):
		start.Outcome = "cancelled"
	default:
		start.Outcome = "failed"
	}
}

// recordDetail is how many stages a record holds with inputs, outputs and
// metrics. The record travels in a payload of at most 2 MB.
const recordDetail = 2000

// publish writes the run's record into the run folder.
func (d *driver) publish(ctx workflow.Context, state string) error {
	info := workflow.GetInfo(ctx)
	plan, err := json.Marshal(d.plan)
	if err != nil {
		return err
	}
	rec := stage.RunRecord{
		Pipeline: d.plan.Name, Run: d.id, Workflow: info.WorkflowType.Name,
		Started: d.began, State: state, Digest: artifact.Digest(d.digest), Versions: map[string]int{}, Plan: plan,
	}
	if p := info.ParentWorkflowExecution; p != nil {
		rec.Parent = p.ID
	}
	if b := info.GetCurrentBuildID(); b != "" {
		rec.Build = b
	}
	if state != "running" {
		now := workflow.Now(ctx)
		rec.Ended = &now
	}
	for _, n := range d.plan.Nodes {
		rec.Versions[n.Kind] = d.plan.Kinds[n.Kind].Version
	}
	for i, n := range d.plan.Nodes {
		rec.Stages = append(rec.Stages, d.record(n.ID, i < recordDetail))
	}
	options := workflow.GetActivityOptions(light(ctx, "write run.json: "+state))
	options.ScheduleToCloseTimeout = time.Hour
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), stage.ActivityPublish, rec).Get(ctx, nil)
}

// changeBrief is the change that brief came with: runs that began before it go on
// without.
const changeBrief = "record before the stage that reads it"

// brief brings the run's record up to date for a stage that reads it.
func (d *driver) brief(ctx workflow.Context, n *dag.Node) error {
	if !d.plan.Kinds[n.Kind].Record || workflow.GetVersion(ctx, changeBrief, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	return d.publish(ctx, "running")
}

func (d *driver) record(id string, detailed bool) stage.StageRecord {
	s := d.run.Status(id)
	r := stage.StageRecord{ID: id, Kind: d.run.Node(id).Kind}
	if h := d.history[id]; h != nil {
		r = *h
	}
	r.State, r.Message, r.Params = string(s.State), s.Message, s.Params
	if s.State == dag.Waiting {
		r.State = "waiting"
	}
	if s.Result != nil {
		r.Seconds, r.Excluded = s.Result.Seconds, len(s.Result.Quarantined)
		r.Outputs, r.Metrics = s.Result.Outputs, s.Result.Metrics
	}
	if !detailed {
		r.Inputs, r.Outputs, r.Metrics = nil, nil, nil
	}
	return r
}
