package dag

import (
	"encoding/json"
	"fmt"
	"strings"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// Ready returns the ids of the stages to start now, in the order of the plan:
// no more than the plan runs at a time, none while the run is paused.
func (r *Run) Ready() []string {
	n := min(len(r.ready), r.plan.Parallel-r.counts[Running])
	if r.paused || n <= 0 {
		return nil
	}
	ids := make([]string, n)
	for k, i := range r.ready[:n] {
		ids[k] = r.plan.Nodes[i].ID
	}
	return ids
}

// Done tells that every stage has succeeded, was skipped or was cancelled.
func (r *Run) Done() bool {
	return r.counts[Succeeded]+r.counts[Skipped]+r.counts[Cancelled] == len(r.stages)
}

// Stalled tells that nothing runs or can be started, and that the run is not
// done either: it needs a person, to approve a stage or to repair one.
func (r *Run) Stalled() bool {
	return !r.Done() && r.counts[Running] == 0 && len(r.ready) == 0
}

// Paused tells whether the run is paused.
func (r *Run) Paused() bool { return r.paused }

// Plan returns what is being carried out.
func (r *Run) Plan() *Plan { return r.plan }

// Node returns a stage of the plan. The id must be of the plan.
func (r *Run) Node(id string) *Node { return &r.plan.Nodes[r.at(id)] }

// Status returns what is known of a stage. The id must be of the plan.
func (r *Run) Status(id string) Status { return r.stages[r.at(id)] }

// at panics on an id that is not of the plan: it did not come from this run.
func (r *Run) at(id string) int {
	i, ok := r.index[id]
	if !ok {
		panic(fmt.Sprintf("no stage %q in plan %s", id, r.plan.Name))
	}
	return i
}

// In lists the ids of the stages in a state, Blocked included, in the order of
// the plan.
func (r *Run) In(s State) []string {
	var ids []string
	for i, state := range r.shown() {
		if state == s {
			ids = append(ids, r.plan.Nodes[i].ID)
		}
	}
	return ids
}

// shown returns the states with Blocked in place of Waiting where it applies.
func (r *Run) shown() []State {
	states := make([]State, len(r.stages))
	for i := range states {
		states[i] = r.stages[i].State
		if states[i] != Waiting {
			continue
		}
		for _, j := range r.plan.Nodes[i].After {
			if states[j] == Failed || states[j] == Blocked {
				states[i] = Blocked
			}
		}
	}
	return states
}

// Counts are the numbers of stages by state.
type Counts struct {
	Total     int `json:"total"`
	Waiting   int `json:"waiting"`
	Blocked   int `json:"blocked"`
	Approval  int `json:"approval"`
	Ready     int `json:"ready"`
	Running   int `json:"running"`
	Succeeded int `json:"succeeded"`
	Cached    int `json:"cached"` // of Succeeded: results that were known already
	Skipped   int `json:"skipped"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
}

// Counts counts the stages by state.
func (r *Run) Counts() Counts {
	c := Counts{
		Total: len(r.stages), Approval: r.counts[Approval], Ready: r.counts[Ready], Running: r.counts[Running],
		Succeeded: r.counts[Succeeded], Skipped: r.counts[Skipped], Failed: r.counts[Failed], Cancelled: r.counts[Cancelled],
	}
	for i, s := range r.shown() {
		res := r.stages[i].Result
		switch {
		case s == Waiting:
			c.Waiting++
		case s == Blocked:
			c.Blocked++
		case s == Succeeded && res != nil && res.Cached:
			c.Cached++
		}
	}
	return c
}

// Params returns the resolved parameters of a stage: the plan's, or what Retry
// put in their place.
func (r *Run) Params(id string) json.RawMessage {
	i := r.at(id)
	if p := r.stages[i].Params; p != nil {
		return p
	}
	return r.plan.Nodes[i].Params
}

// Inputs returns the artifacts that a stage is given: those of its sources that
// were not skipped. Everything that it waits for must be settled.
func (r *Run) Inputs(id string) (map[string][]artifact.Artifact, error) {
	node := r.Node(id)
	inputs := make(map[string][]artifact.Artifact, len(node.Inputs))
	for _, port := range sortedPorts(node.Inputs) {
		for _, text := range node.Inputs[port] {
			src, err := ParseSource(text)
			if err != nil {
				return nil, fmt.Errorf("input %s of stage %s: %w", port, id, err)
			}
			if src.Artifact != nil {
				inputs[port] = append(inputs[port], *src.Artifact)
				continue
			}
			if src.Published != nil {
				return nil, fmt.Errorf("input %s of stage %s: %s was not pinned when the run was planned", port, id, text)
			}
			from := r.stages[r.at(src.Stage)]
			if from.State == Skipped {
				continue
			}
			if from.Result == nil || from.State != Succeeded {
				return nil, fmt.Errorf("input %s of stage %s: stage %s is %s and has no result", port, id, src.Stage, from.State)
			}
			// An optional output may be absent.
			if a, ok := from.Result.Outputs[src.Output]; ok {
				inputs[port] = append(inputs[port], a)
			}
		}
	}
	for _, p := range r.plan.Kinds[node.Kind].Inputs {
		if !p.Optional && len(inputs[p.Name]) == 0 {
			return nil, fmt.Errorf("input %s of stage %s: %s made no such output",
				p.Name, id, strings.Join(node.Inputs[p.Name], ", "))
		}
	}
	return inputs, nil
}

// Request returns what an activity is asked for: everything of stage.Request
// but Shard. run is the ID of the run; a forced stage carries it in Force.
func (r *Run) Request(id, run string) (stage.Request, error) {
	node := r.Node(id)
	inputs, err := r.Inputs(id)
	if err != nil {
		return stage.Request{}, err
	}
	params := r.Params(id)
	key, err := stage.Key(node.Kind, r.plan.Kinds[node.Kind].Version, params, inputs)
	if err != nil {
		return stage.Request{}, err
	}
	q := stage.Request{
		Pipeline: r.plan.Name, Run: run, Stage: id, Kind: node.Kind,
		Key: key, Params: params, Inputs: inputs,
	}
	if node.Force {
		q.Force = run
	}
	return q, nil
}

// runJSON is a run as JSON has it.
type runJSON struct {
	Plan   planJSON `json:"plan"`
	Paused bool     `json:"paused,omitempty"`
	Stages []Status `json:"stages"` // as the plan's nodes
}

// MarshalJSON writes the plan and the states; a large run is packed.
func (r *Run) MarshalJSON() ([]byte, error) {
	return pack(runJSON{Plan: r.plan.toJSON(), Paused: r.paused, Stages: r.stages})
}

// UnmarshalJSON reads what MarshalJSON wrote. The run goes on where it was.
func (r *Run) UnmarshalJSON(b []byte) error {
	var in runJSON
	if err := unpack(b, &in); err != nil {
		return fmt.Errorf("read run: %w", err)
	}
	plan, err := in.Plan.plan()
	if err != nil {
		return err
	}
	if len(in.Stages) != len(plan.Nodes) {
		return fmt.Errorf("read run of %s: %d states for %d stages", plan.Name, len(in.Stages), len(plan.Nodes))
	}
	*r = Run{plan: plan, stages: in.Stages, paused: in.Paused}
	r.link()
	return nil
}
