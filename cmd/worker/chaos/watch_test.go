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
	beats   map[string]beat // of pending activities, by stage workflow and activity
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
			own := beat{attempt: a.GetAttempt()}
			if a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED && a.GetHeartbeatDetails() != nil &&
				converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &own.Beat) == nil {
				own.at = a.GetLastHeartbeatTime().AsTime()
			}
			st.beats[w.GetExecution().GetWorkflowId()+" "+a.GetActivityId()] = own
		}
	}
	return st, true
}

// resumed waits until every activity that was running before a kill has ended or
// sent a heartbeat again, and returns how many steps were lost: those done
// before the kill that had to be done again.
func (s *stack) resumed(ctx context.Context, before state, up time.Time, ended func() bool) (lost int64) {
	for ctx.Err() == nil && !ended() {
		if now, ok := s.look(ctx); ok && now.history > before.history || len(before.beats) > 0 {
			waiting := false
			for id, had := range before.beats {
				has, pending := now.beats[id]
				if pending && has.attempt > had.attempt && has.at.After(up) {
					lost = max(lost, had.Done-has.Checkpoint)
				}
				waiting = waiting || !ok || pending && !has.at.After(up)
			}
			if !waiting {
				return lost
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return lost
}
