package model

import "fmt"

// Extend is the weights of another configuration of the same network: what both have keeps its values, what is new, such as the matrices of LoRA
// or a score head, starts from the seed, and what the other one lacks is left out. Values are shared.
func (w *Weights) Extend(c Config, seed uint64) (*Weights, error) {
	c = c.Resolve()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("extend the weights: %w", err)
	}
	out := &Weights{Config: c, values: map[string][]float32{}}
	for _, s := range c.Params() {
		v, ok := w.values[s.Name]
		if !ok {
			v = s.Values(seed)
		}
		if len(v) != s.size() {
			return nil, fmt.Errorf("extend the weights: parameter %q has %d values, the other configuration wants %v", s.Name, len(v), s.Shape)
		}
		out.values[s.Name] = v
	}
	return out, nil
}

// Initial is the weights that a new model starts from.
func Initial(c Config, seed uint64) (*Weights, error) { return (&Weights{}).Extend(c, seed) }
