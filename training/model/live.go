package model

import (
	"fmt"

	"tempera/training/device"
)

// Live returns a parameter by name as it is now, for a sampler that packs it: without a copy where the host can read the device's memory. What it
// returns then changes with the next step of training.
func (m *Model) Live(name string) ([]float32, error) {
	p := m.byName[name]
	if p == nil {
		return nil, fmt.Errorf("a %s model has no parameter %q", m.Config.Kind, name)
	}
	if a, ok := m.backend.(device.Addressable); ok {
		return a.View(p.Value), nil
	}
	v, err := device.ReadFloats(m.backend, p.Value)
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", name, err)
	}
	return v, nil
}
