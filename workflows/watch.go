package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// The progress of running stages is read by one light activity for all of them,
// less and less often as the run grows old: a run of a day takes about 400
// readings of six events. Signals from the activities would cost the history
// events for every stage, and a read from outside would not be in the details.
const (
	watchMin   = 5 * time.Second
	watchMax   = time.Minute
	watchSpan  = 5   // an interval is this part of the run's age, up to watchMax
	watchLate  = 100 // and this part of it later on
	watchLimit = 20  // stages that are read at a time
)

// watchInterval is the time to the next reading.
func watchInterval(age time.Duration) time.Duration {
	return max(watchMin, min(watchMax, age/watchSpan), age/watchLate)
}

// watch reads the progress of running stages while there are any.
func (d *driver) watch(ctx workflow.Context) {
	for {
		if workflow.Await(ctx, func() bool { return d.active > 0 }) != nil {
			return
		}
		next := workflow.NewTimerWithOptions(ctx, watchInterval(workflow.Now(ctx).Sub(d.began)), workflow.TimerOptions{Summary: "until progress is read"})
		if next.Get(ctx, nil) != nil {
			return
		}
		stages := map[string]string{} // workflow ID -> stage
		var ids []string
		for _, id := range d.run.In(dag.Running) {
			key := d.history[id].Key
			if d.leaders[key] != id || len(ids) == watchLimit {
				continue
			}
			q := stage.Request{Key: key}
			if d.run.Node(id).Force {
				q.Force = d.id
			}
			ids = append(ids, StageWorkflowID(q))
			stages[StageWorkflowID(q)] = id
		}
		if len(ids) == 0 {
			continue
		}
		options := workflow.GetActivityOptions(light(ctx, "progress"))
		options.ScheduleToCloseTimeout = watchMax
		var found map[string]dag.Progress
		if workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), stage.ActivityProgress, ids).Get(ctx, &found) != nil {
			continue
		}
		for _, wid := range ids {
			if p, ok := found[wid]; ok && d.run.Status(stages[wid]).State == dag.Running {
				d.must(d.run.Progressed(stages[wid], p))
				d.changed = true
			}
		}
	}
}
