//go:build chaos

package chaos

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"tempera/activities"
	"tempera/workflows"
)

// state is how far the activities of a run have come, as the server knows it.
type state struct {
	beats   map[string]beat // of running activities, by stage workflow and activity
	newest  time.Time       // the newest heartbeat
	history int64           // events of the run and its stages
}

type beat struct {
	activities.Beat
	attempt int32
	at      time.Time
}

// look reads the state; ok is false where the server does not answer.
func (s *stack) look(ctx context.Context) (st state, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	st.beats = map[string]beat{}
	list, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
	if err != nil {
		return st, false
	}
	for _, w := range list.GetExecutions() {
		d, err := s.client.DescribeWorkflowExecution(ctx, w.GetExecution().GetWorkflowId(), "")
		if err != nil {
			return st, false
		}
		st.history += d.GetWorkflowExecutionInfo().GetHistoryLength()
		if d.GetWorkflowExecutionInfo().GetType().GetName() != workflows.StageName {
			continue
		}
		for _, a := range d.GetPendingActivities() {
			if a.GetState() != enums.PENDING_ACTIVITY_STATE_STARTED {
				continue
			}
			own := beat{attempt: a.GetAttempt(), at: a.GetLastHeartbeatTime().AsTime()}
			if a.GetHeartbeatDetails() == nil || converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &own.Beat) != nil {
				continue
			}
			st.beats[w.GetExecution().GetWorkflowId()+" "+a.GetActivityId()] = own
			if own.at.After(st.newest) {
				st.newest = own.at
			}
		}
	}
	return st, true
}

// resumed waits until work goes on after a kill and returns how many steps were
// lost: those done before the kill that had to be done again.
func (s *stack) resumed(ctx context.Context, before state, killed time.Time, ended func() bool) (lost int64) {
	for ctx.Err() == nil && !ended() {
		now, ok := s.look(ctx)
		if ok && now.newest.After(killed) {
			for id, had := range before.beats {
				has, same := now.beats[id]
				if same && has.attempt > had.attempt && has.at.After(killed) {
					lost = max(lost, had.Done-has.Checkpoint)
				}
			}
			return lost
		}
		if ok && len(before.beats) == 0 && now.history > before.history {
			return 0 // between stages
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0
}
