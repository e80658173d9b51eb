package timing

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tempera/infra/artifact"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// shelf is a source of histories by run ID, "" being the newest run.
type shelf map[string][]*history.HistoryEvent

func (s shelf) GetWorkflowHistory(_ context.Context, workflow, run string, _ bool, _ enums.HistoryEventFilterType) client.HistoryEventIterator {
	return &iterator{s[workflow+run]}
}

type iterator struct{ events []*history.HistoryEvent }

func (it *iterator) HasNext() bool { return len(it.events) > 0 }

func (it *iterator) Next() (*history.HistoryEvent, error) {
	if len(it.events) == 0 {
		return nil, errors.New("no more events")
	}
	e := it.events[0]
	it.events = it.events[1:]
	return e, nil
}

// tale is a history in the making. Its methods add events at a second.
type tale struct{ events []*history.HistoryEvent }

func (h *tale) at(second float64, e *history.HistoryEvent) int64 {
	e.EventId = int64(len(h.events) + 1)
	e.EventTime = timestamppb.New(second0.Add(time.Duration(second * float64(time.Second))))
	h.events = append(h.events, e)
	return e.EventId
}

var second0 = time.Unix(1_900_000_000, 0).UTC()

func payload(t *testing.T, v any) *common.Payloads {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return &common.Payloads{Payloads: []*common.Payload{{Data: data}}}
}

// activity is one that was handed out, begun and ended at three times.
type times [3]float64

func (h *tale) handOut(second float64, kind, queue string) int64 {
	return h.at(second, &history.HistoryEvent{Attributes: &history.HistoryEvent_ActivityTaskScheduledEventAttributes{ActivityTaskScheduledEventAttributes: &history.ActivityTaskScheduledEventAttributes{
		ActivityType: &common.ActivityType{Name: kind}, TaskQueue: &taskqueue.TaskQueue{Name: queue},
	}}})
}

func (h *tale) begin(second float64, scheduled int64, attempt int32) {
	h.at(second, &history.HistoryEvent{Attributes: &history.HistoryEvent_ActivityTaskStartedEventAttributes{ActivityTaskStartedEventAttributes: &history.ActivityTaskStartedEventAttributes{
		ScheduledEventId: scheduled, Attempt: attempt,
	}}})
}

func (h *tale) succeed(t *testing.T, at times, attempt int32, res stage.Result) {
	id := h.handOut(at[0], "noop", temporalx.CPUQueue)
	h.begin(at[1], id, attempt)
	h.at(at[2], &history.HistoryEvent{Attributes: &history.HistoryEvent_ActivityTaskCompletedEventAttributes{ActivityTaskCompletedEventAttributes: &history.ActivityTaskCompletedEventAttributes{
		ScheduledEventId: id, Result: payload(t, res),
	}}})
}

func (h *tale) fail(at times) {
	id := h.handOut(at[0], "noop", temporalx.CPUQueue)
	h.begin(at[1], id, 1)
	h.at(at[2], &history.HistoryEvent{Attributes: &history.HistoryEvent_ActivityTaskFailedEventAttributes{ActivityTaskFailedEventAttributes: &history.ActivityTaskFailedEventAttributes{ScheduledEventId: id}}})
}

func (h *tale) wait(from, to float64) {
	id := h.at(from, &history.HistoryEvent{Attributes: &history.HistoryEvent_TimerStartedEventAttributes{TimerStartedEventAttributes: &history.TimerStartedEventAttributes{
		StartToFireTimeout: durationpb.New(time.Duration((to - from) * float64(time.Second))),
	}}})
	h.at(to, &history.HistoryEvent{Attributes: &history.HistoryEvent_TimerFiredEventAttributes{TimerFiredEventAttributes: &history.TimerFiredEventAttributes{StartedEventId: id}}})
}

func (h *tale) answer(second float64) {
	h.at(second, &history.HistoryEvent{Attributes: &history.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{WorkflowExecutionUpdateAcceptedEventAttributes: &history.WorkflowExecutionUpdateAcceptedEventAttributes{}}})
}

func (h *tale) close(second float64) {
	h.at(second, &history.HistoryEvent{EventType: enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED})
}

// began begins the history of a run of the stages train and check.
func began(t *testing.T, children ...string) *tale {
	t.Helper()
	plan := &dag.Plan{
		Name: "p", Repair: dag.Duration(50 * time.Second),
		Kinds: map[string]stage.Descriptor{
			"train": {Name: "train", Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel}}}, "check": {Name: "check"},
		},
		Nodes: []dag.Node{{ID: "train", Kind: "train", Params: json.RawMessage(`{}`)}, {ID: "check", Kind: "check", After: []int{0}, Params: json.RawMessage(`{}`)}},
	}
	raw, err := json.Marshal(plan)
	require.NoError(t, err)
	h := &tale{}
	h.at(0, &history.HistoryEvent{})
	id := h.handOut(0, stage.ActivityPlan, temporalx.WorkflowQueue)
	h.begin(0, id, 1)
	h.at(1, &history.HistoryEvent{Attributes: &history.HistoryEvent_ActivityTaskCompletedEventAttributes{ActivityTaskCompletedEventAttributes: &history.ActivityTaskCompletedEventAttributes{
		ScheduledEventId: id, Result: payload(t, stage.PlanResult{Plan: raw}),
	}}})
	for _, c := range children {
		started := h.at(1, &history.HistoryEvent{Attributes: &history.HistoryEvent_StartChildWorkflowExecutionInitiatedEventAttributes{StartChildWorkflowExecutionInitiatedEventAttributes: &history.StartChildWorkflowExecutionInitiatedEventAttributes{
			Input: payload(t, stage.Request{Stage: c, Kind: c}),
		}}})
		h.at(1, &history.HistoryEvent{Attributes: &history.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes{ChildWorkflowExecutionStartedEventAttributes: &history.ChildWorkflowExecutionStartedEventAttributes{
			InitiatedEventId: started, WorkflowExecution: &common.WorkflowExecution{WorkflowId: c, RunId: "/1"},
		}}})
	}
	return h
}

func worked(seconds float64) stage.Result { return stage.Result{Seconds: seconds} }

func TestWhereTheTimeOfARunWent(t *testing.T) {
	for _, c := range []struct {
		name string
		tell func(t *testing.T, run, train, check *tale)
		want Timings
	}{
		{"plan, dispatch, commit and end are overhead", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 2, 12}, 1, worked(9))
			check.succeed(t, times{12, 13, 15}, 1, worked(2))
			run.close(16)
		}, Timings{Wall: 16, Compute: 12, Training: 9, Engine: 4, Around: 1, Overhead: 5, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Queued: 1, Ran: 10, Work: 9, Attempts: 1},
			{ID: "check", Kind: "check", Started: true, Queued: 1, Ran: 2, Work: 2, Attempts: 1},
		}}},
		{"a stage that waits behind another costs nothing", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 1, 11}, 1, worked(10))
			check.succeed(t, times{1, 11, 13}, 1, worked(2))
			run.close(13)
		}, Timings{Wall: 13, Compute: 12, Training: 10, Engine: 1, Overhead: 1, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Ran: 10, Work: 10, Attempts: 1},
			{ID: "check", Kind: "check", Started: true, Queued: 10, Ran: 2, Work: 2, Attempts: 1},
		}}},
		{"what attempts lost is no overhead: a lost worker, a failure and the wait after it", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 31, 41}, 3, worked(10))
			check.fail(times{41, 41, 44})
			check.wait(44, 46)
			check.succeed(t, times{46, 46, 48}, 1, worked(2))
			run.close(48)
		}, Timings{Wall: 48, Compute: 45, Training: 10, Lost: 33, Engine: 1, Overhead: 1, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Ran: 10, Work: 10, Attempts: 3, Lost: 30},
			{ID: "check", Kind: "check", Started: true, Ran: 2, Work: 2, Attempts: 2, Lost: 3},
		}}},
		{"waits for a person are none, whether the person comes or not", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 1, 11}, 1, worked(10))
			run.answer(111)
			check.fail(times{112, 112, 113})
			run.wait(114, 164)
			run.close(165)
		}, Timings{Wall: 165, Person: 150, Compute: 11, Training: 10, Lost: 1, Engine: 4, Overhead: 4, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Ran: 10, Work: 10, Attempts: 1},
			{ID: "check", Kind: "check", Started: true, Attempts: 1, Lost: 1},
		}}},
		{"a commit that was found is no work", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 1, 2}, 1, stage.Result{Seconds: 100, Cached: true})
			check.succeed(t, times{2, 2, 4}, 1, worked(2))
			run.close(4)
		}, Timings{Wall: 4, Compute: 3, Engine: 1, Around: 1, Overhead: 2, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Ran: 1, Attempts: 1},
			{ID: "check", Kind: "check", Started: true, Ran: 2, Work: 2, Attempts: 1},
		}}},
		{"a run that goes on is measured up to now", func(t *testing.T, run, train, check *tale) {
			train.succeed(t, times{1, 1, 11}, 1, worked(10))
			check.handOut(12, "noop", temporalx.CPUQueue)
			run.at(12, &history.HistoryEvent{})
		}, Timings{Running: true, Wall: 1000, Compute: 998, Training: 10, Engine: 2, Overhead: 2, Stages: []Stage{
			{ID: "train", Kind: "train", Started: true, Ran: 10, Work: 10, Attempts: 1},
			{ID: "check", Kind: "check", Started: true, Ran: 988, Attempts: 1},
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run, train, check := began(t, "train", "check"), &tale{}, &tale{}
			train.at(1, &history.HistoryEvent{})
			check.at(1, &history.HistoryEvent{})
			c.tell(t, run, train, check)
			if run.events[len(run.events)-1].EventType != 0 {
				train.close(1000)
				check.close(1000)
			}
			got, err := Read(t.Context(), shelf{"run": run.events, "train/1": train.events, "check/1": check.events}, "run", second0.Add(1000*time.Second))
			require.NoError(t, err)
			c.want.Run, c.want.Pipeline = "run", "p"
			c.want.OfTraining, c.want.OfWall = percent(c.want.Overhead, c.want.Training), percent(c.want.Overhead, c.want.Wall)
			require.Equal(t, c.want, *got)
		})
	}
}

func TestAMappedStageIsFollowedThroughItsContinuations(t *testing.T) {
	run, first, second := began(t, "train"), &tale{}, &tale{}
	first.succeed(t, times{1, 1, 3}, 1, worked(2))
	first.succeed(t, times{1, 2, 4}, 1, worked(2))
	first.at(4, &history.HistoryEvent{EventType: enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, Attributes: &history.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes{
		WorkflowExecutionContinuedAsNewEventAttributes: &history.WorkflowExecutionContinuedAsNewEventAttributes{NewExecutionRunId: "/2"},
	}})
	second.succeed(t, times{5, 5, 7}, 1, worked(2))
	second.close(7)
	run.close(7)
	got, err := Read(t.Context(), shelf{"run": run.events, "train/1": first.events, "train/2": second.events}, "run", second0)
	require.NoError(t, err)
	require.Equal(t, Stage{ID: "train", Kind: "train", Started: true, Ran: 5, Work: 6, Attempts: 3}, got.Stages[0])
}

func TestTheHistoriesOfARealRunAddUp(t *testing.T) {
	s := shelf{}
	files, err := filepath.Glob("../testdata/histories/v1-full*.json")
	require.NoError(t, err)
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.NoError(t, f.Close())
		a := h.Events[0].GetWorkflowExecutionStartedEventAttributes()
		if filepath.Base(file) == "v1-full.json" {
			s["run"] = h.Events
		}
		s[a.GetWorkflowId()+a.GetOriginalExecutionRunId()] = h.Events
	}
	got, err := Read(t.Context(), s, "run", time.Time{})
	require.NoError(t, err)
	require.InDelta(t, 1.4556, got.Wall, 1e-3)
	require.InDelta(t, got.Wall, got.Compute+got.Engine, 1e-6)
	byID := map[string]Stage{}
	for _, x := range got.Stages {
		byID[x.ID] = x
	}
	require.Equal(t, 12, byID["m"].Attempts, "a shard each")
	require.Positive(t, byID["m"].Lost)
	require.False(t, byID["never"].Started)
	require.Zero(t, got.Training, "no stage made a model")
}
