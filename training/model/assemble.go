package model

import (
	"errors"
	"fmt"

	"tempera/training/device"
)

// LoadFrom makes a model of a resolved configuration with values from get, which
// is asked for one parameter after the other, in the order of Config.Params, and
// whose values are not kept.
func LoadFrom(b device.Backend, c Config, get func(name string) ([]float32, error)) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("load %s model: %w", c.Kind, err)
	}
	return build(b, c, func(s Spec) ([]float32, error) { return get(s.Name) })
}

// NewWeights makes weights of a resolved configuration and its parameters' values,
// which are not copied. A parameter that is missing, one of another size and one
// too many are all reported at once.
func NewWeights(c Config, values map[string][]float32) (*Weights, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("new weights: %w", err)
	}
	w := &Weights{Config: c, values: map[string][]float32{}}
	var faults []error
	for _, s := range c.Params() {
		v, ok := values[s.Name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("parameter %q is missing", s.Name))
		case len(v) != s.size():
			faults = append(faults, fmt.Errorf("parameter %q has %d values, want %v", s.Name, len(v), s.Shape))
		}
		w.values[s.Name] = v
	}
	if len(values) > len(w.values) {
		for name := range values {
			if _, ok := w.values[name]; !ok {
				faults = append(faults, fmt.Errorf("%q is not a parameter of a %s model", name, c.Kind))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("new weights: %w", err)
	}
	return w, nil
}
