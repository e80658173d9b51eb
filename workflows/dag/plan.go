package dag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

// Plan is a spec that has been checked, with everything filled in: what runs,
// after what, and how. A Run drives it. Plans do not change.
type Plan struct {
	Name        string
	Description string
	Parallel    int                         // stages at a time
	Repair      Duration                    // how long a failed run waits to be repaired
	Kinds       map[string]stage.Descriptor // those that are used; without their schemas, defaults and docs
	Nodes       []Node                      // in an order in which they may run
}

// Node is one stage of a plan.
type Node struct {
	ID     string            `json:"id"`
	Kind   string            `json:"kind"`
	Level  int               `json:"level,omitempty"` // the length of the longest path to it
	After  []int             `json:"after,omitempty"` // indices of the nodes that it waits for, ascending
	Inputs map[string]Inputs `json:"inputs,omitempty"`
	When   string            `json:"when,omitempty"`
	Map    *Map              `json:"map,omitempty"` // with its window filled in
	Gate   *Gate             `json:"gate,omitempty"`
	Force  bool              `json:"force,omitempty"` // the spec says so, or the stage is about the run itself
	Params json.RawMessage   `json:"-"`               // resolved
	Policy Policy            `json:"-"`
}

// NewPlan checks a spec and plans it. Its error is Check's.
func NewPlan(spec *Spec, catalog Catalog) (*Plan, error) {
	c := newChecker(spec, catalog)
	if err := c.check(); err != nil {
		return nil, err
	}
	p := &Plan{
		Name: spec.Name, Description: spec.Description,
		Parallel: cmp.Or(spec.Defaults.Parallel, DefaultParallel),
		Repair:   repairOf(spec.Defaults),
		Kinds:    map[string]stage.Descriptor{},
		Nodes:    make([]Node, 0, len(spec.Stages)),
	}
	place := make([]int, len(spec.Stages))
	for _, i := range c.topological() {
		s := &spec.Stages[i]
		if _, ok := p.Kinds[s.Kind]; !ok {
			p.Kinds[s.Kind] = slim(*c.kinds[i])
		}
		place[i] = len(p.Nodes)
		n := Node{
			ID: s.ID, Kind: s.Kind, Inputs: s.Inputs, When: s.When, Gate: s.Gate, Force: s.Force || c.kinds[i].Effects || c.kinds[i].Record,
			Params: c.resolved[i], Policy: policyOf(s, spec.Defaults, *c.kinds[i], c.resolved[i]),
		}
		if s.Map != nil {
			n.Map = &Map{Window: cmp.Or(s.Map.Window, DefaultWindow), MaxFailed: s.Map.MaxFailed}
		}
		for _, e := range c.after[i] {
			n.After = append(n.After, place[e.to])
			n.Level = max(n.Level, p.Nodes[place[e.to]].Level+1)
		}
		slices.Sort(n.After)
		p.Nodes = append(p.Nodes, n)
	}
	return p, nil
}

// slim drops from a descriptor what a plan does not need.
func slim(d stage.Descriptor) stage.Descriptor {
	d.Schema, d.Params = nil, nil
	d.Inputs, d.Outputs = slices.Clone(d.Inputs), slices.Clone(d.Outputs)
	for _, ports := range [][]stage.Port{d.Inputs, d.Outputs} {
		for i := range ports {
			ports[i].Doc = ""
		}
	}
	return d
}

// Node returns the stage with the id.
func (p *Plan) Node(id string) (*Node, error) {
	for i := range p.Nodes {
		if p.Nodes[i].ID == id {
			return &p.Nodes[i], nil
		}
	}
	ids := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		ids[i] = n.ID
	}
	return nil, fmt.Errorf("there is no stage %q: %s", id, instead(id, ids))
}

// Levels groups the ids by level: those of one level do not wait for each other.
func (p *Plan) Levels() [][]string {
	var levels [][]string
	for _, n := range p.Nodes {
		for len(levels) <= n.Level {
			levels = append(levels, nil)
		}
		levels[n.Level] = append(levels[n.Level], n.ID)
	}
	return levels
}

// Dependencies returns the ids of the stages that the node waits for: by its
// inputs, its needs and its expressions.
func (p *Plan) Dependencies(n *Node) []string {
	ids := make([]string, len(n.After))
	for k, i := range n.After {
		ids[k] = p.Nodes[i].ID
	}
	return ids
}

// Artifacts lists the artifacts that must be in the store before the run
// starts, each once, in the order of the plan.
func (p *Plan) Artifacts() []artifact.Artifact {
	var found []artifact.Artifact
	seen := map[artifact.Artifact]bool{}
	for i := range p.Nodes {
		for _, port := range sortedPorts(p.Nodes[i].Inputs) {
			for _, text := range p.Nodes[i].Inputs[port] {
				src, err := ParseSource(text)
				if err == nil && src.Artifact != nil && !seen[*src.Artifact] {
					seen[*src.Artifact] = true
					found = append(found, *src.Artifact)
				}
			}
		}
	}
	return found
}

// Queues lists the queue classes that the plan needs, sorted.
func (p *Plan) Queues() []stage.Queue {
	var found []stage.Queue
	for i := range p.Nodes {
		if q := p.Nodes[i].Policy.Queue; !slices.Contains(found, q) {
			found = append(found, q)
		}
	}
	slices.Sort(found)
	return found
}
