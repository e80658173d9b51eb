package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tempera/workflows/stage"
)

// State is where a stage stands.
type State string

// The states. A stage begins Waiting and ends Succeeded, Skipped or Cancelled;
// Failed waits for Retry, Skip or Cancel. Blocked is Waiting behind a failed
// stage: it is derived, never kept.
const (
	Waiting   State = "waiting"
	Blocked   State = "blocked"
	Approval  State = "awaiting approval"
	Ready     State = "ready"
	Running   State = "running"
	Succeeded State = "succeeded"
	Skipped   State = "skipped"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// settled tells that nothing more will happen to a stage.
func (s State) settled() bool { return s == Succeeded || s == Skipped || s == Cancelled }

// Status is what is known of one stage.
type Status struct {
	State    State           `json:"state"`
	Message  string          `json:"message,omitempty"`  // why it failed, was skipped or cancelled
	Starts   int             `json:"starts,omitempty"`   // how often it was started
	Params   json.RawMessage `json:"params,omitempty"`   // resolved JSON that Retry put in place of the plan's
	Approved *Approver       `json:"approved,omitempty"` // who let it through its gate
	Result   *stage.Result   `json:"result,omitempty"`
	Progress Progress        `json:"progress,omitzero"`
}

// Approver is who let a stage through its gate, and why.
type Approver struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// Progress is what a person sees of a running stage.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Run is the state of a plan that is being carried out. Its methods move stages
// from state to state and refuse what is not possible; whoever drives it starts
// what Ready returns and reports what became of it. Equal calls give equal
// states. Its JSON holds everything, to continue as new.
//
// A skipped stage takes those that wait for it along, except where all that
// they would have had from it is an optional input, or one of several sources of
// an input that takes many. A cancelled stage takes all of them along. A failed
// stage holds them back until it is retried.
type Run struct {
	plan   *Plan
	stages []Status // as plan.Nodes
	paused bool

	index  map[string]int
	next   [][]int // who waits for a stage
	waits  []int   // how many unsettled stages a stage waits for
	ready  []int   // ascending
	counts map[State]int
}

// NewRun starts a run of a plan: nothing has run, and what waits for nothing is
// ready, skipped, or at its gate.
func NewRun(p *Plan) *Run {
	r := &Run{plan: p, stages: make([]Status, len(p.Nodes))}
	for i := range r.stages {
		r.stages[i].State = Waiting
	}
	r.link()
	for i := range p.Nodes {
		if r.waits[i] == 0 && r.stages[i].State == Waiting {
			r.arrive(i)
		}
	}
	return r
}

// link rebuilds what follows from the plan and the states.
func (r *Run) link() {
	n := len(r.plan.Nodes)
	r.index, r.counts = make(map[string]int, n), make(map[State]int)
	r.next, r.waits, r.ready = make([][]int, n), make([]int, n), nil
	for i, node := range r.plan.Nodes {
		r.index[node.ID] = i
		r.counts[r.stages[i].State]++
		if r.stages[i].State == Ready {
			r.ready = append(r.ready, i)
		}
		for _, j := range node.After {
			r.next[j] = append(r.next[j], i)
			if !r.stages[j].State.settled() {
				r.waits[i]++
			}
		}
	}
}

// set moves one stage, without consequences.
func (r *Run) set(i int, s State, message string) {
	old := r.stages[i].State
	if at, is := slices.BinarySearch(r.ready, i); old == Ready && is {
		r.ready = slices.Delete(r.ready, at, at+1)
	} else if s == Ready {
		r.ready = slices.Insert(r.ready, at, i)
	}
	r.counts[old]--
	r.counts[s]++
	r.stages[i].State, r.stages[i].Message = s, message
}

// settle ends a stage and lets those that waited for it go on.
func (r *Run) settle(i int, s State, message string) {
	r.set(i, s, message)
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		from := queue[0]
		for _, j := range r.next[from] {
			r.waits[j]--
			switch {
			case r.stages[j].State != Waiting:
			case r.stages[from].State == Cancelled:
				r.set(j, Cancelled, fmt.Sprintf("%s was cancelled", r.plan.Nodes[from].ID))
				queue = append(queue, j)
			case r.waits[j] == 0 && r.decide(j).settled():
				queue = append(queue, j)
			}
		}
	}
}

// arrive decides on a stage that waits for nothing any more.
func (r *Run) arrive(i int) {
	if s := r.decide(i); s.settled() {
		r.settle(i, s, r.stages[i].Message)
	}
}

// decide moves a stage whose dependencies are settled to where it belongs and
// returns that state.
func (r *Run) decide(i int) State {
	s, message := r.verdict(i)
	r.set(i, s, message)
	return s
}

func (r *Run) verdict(i int) (State, string) {
	node := &r.plan.Nodes[i]
	if why := r.lacks(node); why != "" {
		return Skipped, why
	}
	if node.When != "" {
		ok, values, err := r.holds(node.When)
		if err != nil {
			return Failed, fmt.Sprintf("when: %v", err)
		}
		if !ok {
			return Skipped, fmt.Sprintf("when %s is false%s", node.When, values)
		}
	}
	if node.Gate == nil || r.stages[i].Approved != nil {
		return Ready, ""
	}
	if node.Gate.Metric != "" {
		ok, values, err := r.holds(node.Gate.Metric)
		if err != nil {
			return Failed, fmt.Sprintf("gate: %v", err)
		}
		if !ok {
			return Failed, fmt.Sprintf("gate %s is false%s", node.Gate.Metric, values)
		}
	}
	if node.Gate.Approval {
		return Approval, ""
	}
	return Ready, ""
}

// holds evaluates a condition and tells the values that it read.
func (r *Run) holds(source string) (ok bool, values string, err error) {
	e, err := ParseExpression(source)
	if err != nil {
		return false, "", err
	}
	metrics := map[string]map[string]float64{}
	for _, id := range e.Stages() {
		if res := r.stages[r.index[id]].Result; res != nil {
			metrics[id] = res.Metrics
		}
	}
	ok, err = e.Eval(metrics)
	if values = e.Explain(metrics); values != "" {
		values = " (" + values + ")"
	}
	return ok, values, err
}

// lacks tells why a stage cannot run after some of those before it were
// skipped; "" where it can.
func (r *Run) lacks(node *Node) string {
	skipped := func(id string) bool { return r.stages[r.index[id]].State == Skipped }
	fed := map[string]bool{} // skipped stages that a port can do without
	for _, name := range sortedPorts(node.Inputs) {
		var gone []string
		for _, text := range node.Inputs[name] {
			if src, err := ParseSource(text); err == nil && src.Stage != "" && skipped(src.Stage) {
				gone = append(gone, src.Stage)
				fed[src.Stage] = true
			}
		}
		if len(gone) == 0 {
			continue
		}
		port := portOf(r.plan.Kinds[node.Kind].Inputs, name)
		optional := port != nil && (port.Optional || port.Many && len(gone) < len(node.Inputs[name]))
		if !optional {
			return fmt.Sprintf("%s was skipped (input %s)", strings.Join(gone, ", "), name)
		}
	}
	for _, j := range node.After {
		if id := r.plan.Nodes[j].ID; r.stages[j].State == Skipped && !fed[id] {
			return fmt.Sprintf("%s was skipped", id)
		}
	}
	return ""
}
