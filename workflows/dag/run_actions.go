package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tempera/workflows/stage"
)

// Action is what is done to a stage of a run.
type Action string

// The actions and the states in which they are possible.
const (
	ActionStart   Action = "start"
	ActionRequeue Action = "requeue"
	ActionSucceed Action = "finish"
	ActionFail    Action = "fail"
	ActionReport  Action = "report progress of"
	ActionApprove Action = "approve"
	ActionRetry   Action = "retry"
	ActionSkip    Action = "skip"
	ActionCancel  Action = "cancel"
)

func (a Action) from() []State {
	switch a {
	case ActionStart:
		return []State{Ready}
	case ActionRequeue, ActionSucceed, ActionFail, ActionReport:
		return []State{Running}
	case ActionApprove:
		return []State{Approval, Failed}
	case ActionRetry:
		return []State{Failed}
	case ActionSkip:
		return []State{Waiting, Approval, Ready, Failed}
	case ActionCancel:
		return []State{Waiting, Approval, Ready, Running, Failed}
	}
	return nil
}

// TransitionError says that something cannot be done to a stage as it stands.
type TransitionError struct {
	Action Action
	Stage  string
	State  State // "" where there is no such stage
	Fix    string
}

func (e *TransitionError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("cannot %s stage %q: there is no such stage: %s", e.Action, e.Stage, e.Fix)
	}
	return fmt.Sprintf("cannot %s stage %s: it is %s; %s", e.Action, e.Stage, e.State, e.Fix)
}

// Can tells whether an action is possible now; its error is a *TransitionError.
// It changes nothing, as the validator of an update must not.
func (r *Run) Can(a Action, id string) error {
	i, ok := r.index[id]
	if !ok {
		return &TransitionError{Action: a, Stage: id, Fix: instead(id, r.ids())}
	}
	from, s := a.from(), r.stages[i].State
	if !slices.Contains(from, s) {
		names := make([]string, len(from))
		for k, f := range from {
			names[k] = string(f)
		}
		return &TransitionError{
			Action: a, Stage: id, State: s,
			Fix: "it must be " + strings.Join(names, " or "),
		}
	}
	if a == ActionApprove && r.plan.Nodes[i].Gate == nil {
		return &TransitionError{Action: a, Stage: id, State: s, Fix: "it has no gate to let it through: retry or skip it"}
	}
	return nil
}

func (r *Run) ids() []string {
	ids := make([]string, len(r.plan.Nodes))
	for i, n := range r.plan.Nodes {
		ids[i] = n.ID
	}
	return ids
}

// Started says that a ready stage was begun.
func (r *Run) Started(id string) error {
	if err := r.Can(ActionStart, id); err != nil {
		return err
	}
	i := r.index[id]
	r.set(i, Running, "")
	r.stages[i].Starts++
	r.stages[i].Progress = Progress{}
	return nil
}

// Requeue makes a running stage ready again, where nothing came of the start.
func (r *Run) Requeue(id string) error {
	if err := r.Can(ActionRequeue, id); err != nil {
		return err
	}
	r.set(r.index[id], Ready, "")
	return nil
}

// Progressed keeps the newest progress of a running stage.
func (r *Run) Progressed(id string, p Progress) error {
	if err := r.Can(ActionReport, id); err != nil {
		return err
	}
	r.stages[r.index[id]].Progress = p
	return nil
}

// Succeeded ends a running stage. A result that lacks an output that its kind
// promises, or has one of another type, fails the stage instead.
func (r *Run) Succeeded(id string, res stage.Result) error {
	if err := r.Can(ActionSucceed, id); err != nil {
		return err
	}
	i := r.index[id]
	r.stages[i].Result = &res
	for _, port := range r.plan.Kinds[r.plan.Nodes[i].Kind].Outputs {
		got, ok := res.Outputs[port.Name]
		switch {
		case !ok && !port.Optional:
			r.set(i, Failed, fmt.Sprintf("the result lacks output %s: mend kind %s", port.Name, r.plan.Nodes[i].Kind))
			return nil
		case ok && port.Type != "" && got.Type != port.Type:
			r.set(i, Failed, fmt.Sprintf("output %s is %s, not %s: mend kind %s",
				port.Name, typeName(got.Type), typeName(port.Type), r.plan.Nodes[i].Kind))
			return nil
		}
	}
	r.settle(i, Succeeded, "")
	return nil
}

// Failed ends a running stage without a result. The stages that wait for it are
// held back; all others go on.
func (r *Run) Failed(id, message string) error {
	if err := r.Can(ActionFail, id); err != nil {
		return err
	}
	r.set(r.index[id], Failed, message)
	return nil
}

// Retry makes a failed stage ready again, or lets it try its gate again. params
// replace its parameters where they are not nil; they must be resolved.
func (r *Run) Retry(id string, params json.RawMessage) error {
	if err := r.Can(ActionRetry, id); err != nil {
		return err
	}
	i := r.index[id]
	if params != nil {
		if !json.Valid(params) {
			return fmt.Errorf("retry stage %s: the parameters are no JSON", id)
		}
		r.stages[i].Params = slices.Clone(params)
	}
	r.arrive(i)
	return nil
}

// Approve lets a stage through its gate: one that awaits approval, or one that
// failed because the gate's metric was false. It is recorded who did, and why.
func (r *Run) Approve(id, by, why string) error {
	if err := r.Can(ActionApprove, id); err != nil {
		return err
	}
	if by == "" {
		return fmt.Errorf("approve stage %s: say who approves it", id)
	}
	i := r.index[id]
	if r.stages[i].Starts > 0 {
		return &TransitionError{
			Action: ActionApprove, Stage: id, State: r.stages[i].State,
			Fix: "it failed after its gate: retry or skip it",
		}
	}
	r.stages[i].Approved = &Approver{By: by, Why: why}
	r.arrive(i)
	return nil
}

// AtGate tells that a stage failed because its gate did not let it through: it has not run, and Approve lets it.
func (r *Run) AtGate(id string) bool {
	i, ok := r.index[id]
	return ok && r.plan.Nodes[i].Gate != nil && r.stages[i].State == Failed && r.stages[i].Starts == 0
}

// Skip ends a stage that is not running without a result, see Run for what
// becomes of those that wait for it.
func (r *Run) Skip(id, why string) error {
	if err := r.Can(ActionSkip, id); err != nil {
		return err
	}
	r.settle(r.index[id], Skipped, why)
	return nil
}

// Cancel ends a stage and those that wait for it. Whoever drives the run stops
// what is running, and reports nothing of it any more.
func (r *Run) Cancel(id, why string) error {
	if err := r.Can(ActionCancel, id); err != nil {
		return err
	}
	r.settle(r.index[id], Cancelled, why)
	return nil
}

// CancelAll ends every stage that has not ended.
func (r *Run) CancelAll(why string) {
	for i := range r.stages {
		if !r.stages[i].State.settled() {
			r.settle(i, Cancelled, why)
		}
	}
}

// Pause makes Ready return nothing until Resume. What runs goes on.
func (r *Run) Pause() { r.paused = true }

// Resume ends a pause.
func (r *Run) Resume() { r.paused = false }
