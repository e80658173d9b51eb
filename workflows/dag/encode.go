package dag

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"tempera/workflows/stage"
)

// planJSON is a plan as JSON has it. Thousands of stages share a few sets of
// parameters and policies, which are therefore written once.
type planJSON struct {
	Name        string                      `json:"name"`
	Description string                      `json:"description,omitempty"`
	Parallel    int                         `json:"parallel"`
	Repair      Duration                    `json:"repair"`
	Kinds       map[string]stage.Descriptor `json:"kinds"`
	Params      []json.RawMessage           `json:"params"`
	Policies    []Policy                    `json:"policies"`
	Nodes       []nodeJSON                  `json:"nodes"`
}

type nodeJSON struct {
	Node
	Params int `json:"params"` // index into planJSON.Params
	Policy int `json:"policy"` // index into planJSON.Policies
}

func (p *Plan) toJSON() planJSON {
	out := planJSON{
		Name: p.Name, Description: p.Description, Parallel: p.Parallel, Repair: p.Repair,
		Kinds: p.Kinds, Nodes: make([]nodeJSON, len(p.Nodes)),
	}
	params, policies := map[string]int{}, map[Policy]int{}
	for i, n := range p.Nodes {
		a, ok := params[string(n.Params)]
		if !ok {
			a = len(out.Params)
			params[string(n.Params)] = a
			out.Params = append(out.Params, n.Params)
		}
		b, ok := policies[n.Policy]
		if !ok {
			b = len(out.Policies)
			policies[n.Policy] = b
			out.Policies = append(out.Policies, n.Policy)
		}
		out.Nodes[i] = nodeJSON{Node: n, Params: a, Policy: b}
	}
	return out
}

func (in *planJSON) plan() (*Plan, error) {
	p := &Plan{
		Name: in.Name, Description: in.Description, Parallel: in.Parallel, Repair: in.Repair,
		Kinds: in.Kinds, Nodes: make([]Node, len(in.Nodes)),
	}
	for i, n := range in.Nodes {
		if n.Params < 0 || n.Params >= len(in.Params) || n.Policy < 0 || n.Policy >= len(in.Policies) {
			return nil, fmt.Errorf("plan %s: stage %s refers to parameters or a policy that is not there", in.Name, n.ID)
		}
		for _, j := range n.After {
			if j < 0 || j >= i {
				return nil, fmt.Errorf("plan %s: stage %s waits for one that does not come before it", in.Name, n.ID)
			}
		}
		p.Nodes[i] = n.Node
		p.Nodes[i].Params, p.Nodes[i].Policy = in.Params[n.Params], in.Policies[n.Policy]
	}
	return p, nil
}

// MarshalJSON writes a plan; a large one is packed, so that 10,000 stages pass
// through a workflow's payload (2 MB).
func (p *Plan) MarshalJSON() ([]byte, error) { return pack(p.toJSON()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Plan) UnmarshalJSON(b []byte) error {
	var in planJSON
	if err := unpack(b, &in); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	read, err := in.plan()
	if err == nil {
		*p = *read
	}
	return err
}

// packAbove is the size, in bytes, above which JSON is compressed.
const packAbove = 128 << 10

type packed struct {
	Gzip []byte `json:"gzip"`
}

func pack(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil || len(plain) <= packAbove {
		return plain, err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return json.Marshal(packed{b.Bytes()})
}

func unpack(data []byte, v any) error {
	if bytes.HasPrefix(data, []byte(`{"gzip":`)) {
		var p packed
		if err := json.Unmarshal(data, &p); err != nil {
			return err
		}
		r, err := gzip.NewReader(bytes.NewReader(p.Gzip))
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if data, err = io.ReadAll(r); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	return json.Unmarshal(data, v)
}

// sortedPorts lists the ports of inputs in a fixed order.
func sortedPorts(inputs map[string]Inputs) []string { return slices.Sorted(maps.Keys(inputs)) }
