//go:build chaos

package chaos

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// state is what the server knows of a run.
type state struct {
	beat    time.Time // of the newest heartbeat
	history int64     // events of the run and its stages
}

// look reads the state; ok is false where the server does not answer.
func (s *stack) look(ctx context.Context) (st state, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	list, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{})
	if err != nil {
		return st, false
	}
	for _, w := range list.GetExecutions() {
		if w.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			st.history += w.GetHistoryLength()
			continue
		}
		d, err := s.client.DescribeWorkflowExecution(ctx, w.GetExecution().GetWorkflowId(), "")
		if err != nil {
			return st, false
		}
		st.history += d.GetWorkflowExecutionInfo().GetHistoryLength()
		for _, a := range d.GetPendingActivities() {
			if t := a.GetLastHeartbeatTime(); t != nil && t.AsTime().After(st.beat) {
				st.beat = t.AsTime()
			}
		}
	}
	return st, true
}

// resumed tells whether the run goes on after a kill. After that of a worker,
// every training that ran has done a step again and something was recorded or
// begun; after that of the store, every training that still runs has written a
// checkpoint; after that of Temporal, it has recorded an event or a heartbeat.
func (s *stack) resumed(ctx context.Context, k *killed) bool {
	all := s.journal()
	for _, a := range k.running {
		if a = find(all, a); a.training() && !a.goesOn(k, next(all, a)) {
			return false
		}
	}
	now, ok := s.look(ctx)
	if !ok {
		return false
	}
	begun := len(all) > 0 && all[len(all)-1].began.After(k.up)
	return now.history > k.before.history || now.beat.After(k.up) || begun
}

// find returns the attempt as a later journal knows it.
func find(all []*attempt, of *attempt) *attempt {
	for _, a := range all {
		if a.run == of.run && a.stage == of.stage && a.began.Equal(of.began) {
			return a
		}
	}
	return of
}

// goesOn tells whether a training has recovered from a kill.
func (a *attempt) goesOn(k *killed, b *attempt) bool {
	again := b != nil && (len(b.steps) > 0 || !b.ended.IsZero())
	switch {
	case k.part == partWorker, again:
		return again
	case !a.ended.IsZero() || k.part == partTemporal:
		return true
	}
	return len(a.saves) > 0 && a.saves[len(a.saves)-1].at.After(k.up)
}
