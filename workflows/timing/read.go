package timing

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"tempera/infra/temporalx"
	"tempera/workflows/stage"
)

// source is where histories are read; client.Client is one.
type source interface {
	GetWorkflowHistory(ctx context.Context, workflow, run string, wait bool, filter enums.HistoryEventFilterType) client.HistoryEventIterator
}

// readers is how many histories are read at a time.
const readers = 8

// Read reads the histories of a run and of its stages. A run that has not ended
// is measured up to now.
func Read(ctx context.Context, from source, workflow string, now time.Time) (*Timings, error) {
	events, err := eventsOf(ctx, from, child{workflow: workflow})
	if err != nil {
		return nil, err
	}
	r, err := parseRun(events, now)
	if err != nil {
		return nil, fmt.Errorf("history of run %s: %w", workflow, err)
	}
	r.id = workflow
	found := make([]stageHistory, len(r.children))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, c := range r.children {
		g.Go(func() (err error) {
			found[i], err = readStage(ctx, from, c, r.ended)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	stages := map[string]*stageTimes{}
	for i, c := range r.children {
		s := stages[c.request.Stage]
		if s == nil {
			s = &stageTimes{Stage: Stage{ID: c.request.Stage, Kind: c.request.Kind, Started: true}}
			stages[c.request.Stage] = s
		}
		for _, a := range found[i].attempts {
			r.around += s.add(a)
		}
		r.waits = append(r.waits, found[i].waits...)
	}
	return summarise(r, stages), nil
}

func eventsOf(ctx context.Context, from source, c child) (events []*history.HistoryEvent, _ error) {
	for it := from.GetWorkflowHistory(ctx, c.workflow, c.run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return nil, fmt.Errorf("history of workflow %s: %w", c.workflow, err)
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("history of workflow %s is empty", c.workflow)
	}
	return events, nil
}

// activity is what a history tells of one activity.
type activity struct {
	kind, queue             string
	scheduled, began, ended time.Time // zero: has not happened
	number                  int
	result                  *common.Payloads // nil: it gave none
}

// activitiesOf returns the activities of a history by the event that scheduled
// them, and those events in order.
func activitiesOf(events []*history.HistoryEvent) (map[int64]*activity, []int64) {
	found := map[int64]*activity{}
	var order []int64
	for _, e := range events {
		at := e.GetEventTime().AsTime()
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			found[e.GetEventId()] = &activity{kind: a.GetActivityType().GetName(), queue: a.GetTaskQueue().GetName(), scheduled: at}
			order = append(order, e.GetEventId())
		}
		if a := e.GetActivityTaskStartedEventAttributes(); a != nil {
			found[a.GetScheduledEventId()].began = at
			found[a.GetScheduledEventId()].number = int(a.GetAttempt())
		}
		if a := e.GetActivityTaskCompletedEventAttributes(); a != nil {
			found[a.GetScheduledEventId()].ended, found[a.GetScheduledEventId()].result = at, a.GetResult()
		}
		for _, end := range []interface{ GetScheduledEventId() int64 }{
			e.GetActivityTaskFailedEventAttributes(), e.GetActivityTaskTimedOutEventAttributes(), e.GetActivityTaskCanceledEventAttributes(),
		} {
			if a := found[end.GetScheduledEventId()]; a != nil {
				a.ended = at
			}
		}
	}
	return found, order
}

// timersOf returns the waits of a history that ran to their end.
func timersOf(events []*history.HistoryEvent) (list []timer) {
	for _, e := range events {
		a := e.GetTimerFiredEventAttributes()
		if a == nil {
			continue
		}
		start := events[a.GetStartedEventId()-1]
		list = append(list, timer{
			span{start.GetEventTime().AsTime(), e.GetEventTime().AsTime()},
			start.GetTimerStartedEventAttributes().GetStartToFireTimeout().AsDuration(),
		})
	}
	return list
}

type timer struct {
	span
	wait time.Duration
}

// parseRun reads the history of a run.
func parseRun(events []*history.HistoryEvent, now time.Time) (*runHistory, error) {
	last := events[len(events)-1]
	r := &runHistory{began: events[0].GetEventTime().AsTime(), ended: last.GetEventTime().AsTime()}
	if r.running = !closes(last); r.running {
		r.ended = now
	}
	activities, order := activitiesOf(events)
	for _, id := range order {
		switch a := activities[id]; {
		case a.kind == stage.ActivityPlan && a.result != nil:
			var planned stage.PlanResult
			if err := decode(a.result, &planned); err != nil {
				return nil, fmt.Errorf("the plan: %w", err)
			}
			if err := json.Unmarshal(planned.Plan, &r.plan); err != nil {
				return nil, fmt.Errorf("the plan: %w", err)
			}
		case a.kind == stage.ActivityAwait:
			r.elsewhere = append(r.elsewhere, span{a.scheduled, orElse(a.ended, r.ended)})
		}
	}
	if r.plan == nil {
		return nil, fmt.Errorf("it has no plan: it is not the run of a pipeline, or it has just begun")
	}
	requests := map[int64]stage.Request{}
	for _, e := range events {
		if a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes(); a != nil {
			var q stage.Request
			if err := decode(a.GetInput(), &q); err != nil {
				return nil, fmt.Errorf("what workflow %s was asked for: %w", a.GetWorkflowId(), err)
			}
			requests[e.GetEventId()] = q
		}
		if a := e.GetChildWorkflowExecutionStartedEventAttributes(); a != nil {
			x := a.GetWorkflowExecution()
			r.children = append(r.children, child{requests[a.GetInitiatedEventId()], x.GetWorkflowId(), x.GetRunId()})
		}
		if e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil {
			r.answers = append(r.answers, e.GetEventTime().AsTime())
		}
	}
	for _, t := range timersOf(events) {
		if t.wait == time.Duration(r.plan.Repair) {
			r.repairs = append(r.repairs, t.span)
		}
	}
	return r, nil
}

// stageHistory is what the workflow of a stage tells.
type stageHistory struct {
	attempts []attempt
	waits    spans
}

// readStage follows the workflow of a stage through its continuations. What is
// not over at the end of the run counts up to there.
func readStage(ctx context.Context, from source, c child, end time.Time) (h stageHistory, _ error) {
	for c.run != "" {
		events, err := eventsOf(ctx, from, c)
		if err != nil {
			return h, err
		}
		last := events[len(events)-1]
		activities, order := activitiesOf(events)
		for _, id := range order {
			a := activities[id]
			if a.queue == temporalx.WorkflowQueue || a.ended.IsZero() && closes(last) {
				continue // no attempt of the kind, or one that was never begun
			}
			one := attempt{scheduled: a.scheduled, began: orElse(a.began, a.ended), ended: a.ended, number: a.number}
			if a.ended.IsZero() {
				// The server writes down when an attempt began once it has ended.
				one.began, one.ended, one.number, one.open = a.scheduled, end, 1, true
			}
			if a.result != nil {
				one.result = &stage.Result{}
				if err := decode(a.result, one.result); err != nil {
					return h, fmt.Errorf("a result of stage %s: %w", c.request.Stage, err)
				}
			}
			h.attempts = append(h.attempts, one)
		}
		for _, t := range timersOf(events) {
			h.waits = append(h.waits, t.span)
		}
		c.run = last.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return h, nil
}

// decode reads the JSON of the first payload.
func decode(p *common.Payloads, v any) error {
	if len(p.GetPayloads()) == 0 {
		return fmt.Errorf("there is no payload")
	}
	return json.Unmarshal(p.GetPayloads()[0].GetData(), v)
}

func orElse(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// closes tells whether a history ends with this event.
func closes(e *history.HistoryEvent) bool {
	switch e.GetEventType() {
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
		enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		return true
	default:
		return false
	}
}
