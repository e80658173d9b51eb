package model

import (
	"fmt"
	"slices"
	"strings"

	"tempera/training/device"
	"tempera/training/graph"
)

// Model is a configuration's parameters on a device. Its methods add parts of
// the network to graphs; they panic with a graph.Fault where shapes do not fit.
// Any number of graphs may use one model.
type Model struct {
	Config  Config
	backend device.Backend
	params  []*graph.Param
	byName  map[string]*graph.Param
}

// New makes a model with initial values from a seed. The configuration is
// resolved and validated first.
func New(b device.Backend, c Config, seed uint64) (*Model, error) {
	c = c.Resolve()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("new %s model: %w", c.Kind, err)
	}
	return build(b, c, func(s Spec) ([]float32, error) { return s.Values(seed), nil })
}

// Load makes a model with the values of w.
func Load(b device.Backend, w *Weights) (*Model, error) {
	return build(b, w.Config, func(s Spec) ([]float32, error) { return w.Get(s.Name) })
}

func build(b device.Backend, c Config, values func(Spec) ([]float32, error)) (*Model, error) {
	m := &Model{Config: c, backend: b, byName: map[string]*graph.Param{}}
	for _, s := range c.Params() {
		p, err := graph.NewParam(b, s.Name, s.Shape...)
		if err != nil {
			return nil, err
		}
		v, err := values(s)
		if err != nil {
			return nil, err
		}
		if err := b.UploadFloats(p.Value, v); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", s.Name, err)
		}
		// 1-D parameters are biases, gains and temperatures: no decay (Radford et al. 2021).
		p.NoDecay = len(s.Shape) == 1
		p.Frozen = s.state || c.LoRA != nil && !c.LoRA.trains(s.Name)
		m.add(p)
	}
	return m, nil
}

func (m *Model) add(p *graph.Param) {
	m.params = append(m.params, p)
	m.byName[p.Name] = p
}

// Params are all parameters, in the order of Config.Params.
func (m *Model) Params() []*graph.Param { return m.params }

// Backend is where the parameters are.
func (m *Model) Backend() device.Backend { return m.backend }

// Param finds a parameter by name; nil where there is none.
func (m *Model) Param(name string) *graph.Param { return m.byName[name] }

// Parts are the towers of a model, by the first part of its parameters' names.
func (c Config) Parts() []string {
	switch c.Kind {
	case LM:
		return []string{"text"}
	case VLM:
		return []string{"vision", "projector", "text"}
	default:
		return []string{"vision", "text"}
	}
}

// Freeze keeps the parameters of parts from being trained by graphs that are built
// later. An unknown part is an error.
func (m *Model) Freeze(parts ...string) error {
	for _, part := range parts {
		if !slices.Contains(m.Config.Parts(), part) {
			return fmt.Errorf("freeze %q: a %s model has the parts %q", part, m.Config.Kind, m.Config.Parts())
		}
		for _, p := range m.params {
			p.Frozen = p.Frozen || strings.HasPrefix(p.Name, part+".")
		}
	}
	return nil
}

// Over is the same network over other parameters, such as moving averages. Names
// that are not among them keep the model's own.
func (m *Model) Over(params []*graph.Param) *Model {
	o := &Model{Config: m.Config, backend: m.backend, byName: map[string]*graph.Param{}}
	given := map[string]*graph.Param{}
	for _, p := range params {
		given[p.Name] = p
	}
	for _, p := range m.params {
		if g := given[p.Name]; g != nil {
			p = g
		}
		o.add(p)
	}
	return o
}

// On is the same network on another device. Its parameters are zero: a device.Group copies them.
func (m *Model) On(b device.Backend) (*Model, error) {
	o := &Model{Config: m.Config, backend: b, byName: map[string]*graph.Param{}}
	for _, p := range m.params {
		q, err := graph.NewParam(b, p.Name, p.Value.Shape()...)
		if err != nil {
			return nil, err
		}
		q.Frozen, q.NoDecay = p.Frozen, p.NoDecay
		o.add(q)
	}
	return o, nil
}

// Copy sets every parameter that w has too, by name and size, and returns how
// many that were: it is how a model starts from another one's weights.
func (m *Model) Copy(w *Weights) (int, error) {
	n := 0
	for _, p := range m.params {
		v, err := w.Get(p.Name)
		if err != nil || len(v) != p.Value.Size() {
			continue
		}
		if err := m.backend.UploadFloats(p.Value, v); err != nil {
			return n, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		n++
	}
	return n, nil
}

// Weights copies all parameters to the host.
func (m *Model) Weights() (*Weights, error) {
	w := &Weights{Config: m.Config, values: map[string][]float32{}}
	for _, p := range m.params {
		v, err := device.ReadFloats(m.backend, p.Value)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		w.values[p.Name] = v
	}
	return w, nil
}

// p is the node of a parameter that the configuration has.
func (m *Model) p(g *graph.Graph, name string) *graph.Node {
	p := m.byName[name]
	if p == nil {
		panic(&graph.Fault{Op: "model", Reason: fmt.Sprintf("a %s model has no parameter %s", m.Config.Kind, name)})
	}
	return g.Param(p)
}
