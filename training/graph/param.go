package graph

import (
	"fmt"

	"tempera/training/device"
)

// Param is a trained tensor. Any number of graphs of one backend may share it.
//
// Frozen is read when a graph is compiled: a frozen parameter gets no gradient and no code for one.
// Grad is nil until a training graph needs it; runs add to it and the owner of the training step clears it.
// NoDecay excludes the parameter from weight decay (biases, norms, temperatures).
type Param struct {
	Name    string
	Value   *device.Value
	Grad    *device.Value
	Frozen  bool
	NoDecay bool
}

// NewParam allocates a zero parameter.
func NewParam(m device.Memory, name string, shape ...int) (*Param, error) {
	v, err := device.New(m, device.Floats(shape...))
	if err != nil {
		return nil, fmt.Errorf("parameter %s: %w", name, err)
	}
	return &Param{Name: name, Value: v}, nil
}

// Trained tells whether training graphs compute its gradient.
func (p *Param) Trained() bool { return !p.Frozen }

func (p *Param) ensureGrad(m device.Memory) error {
	if p.Grad != nil {
		return nil
	}
	g, err := device.New(m, p.Value.Desc())
	if err != nil {
		return fmt.Errorf("gradient of %s: %w", p.Name, err)
	}
	p.Grad = g
	return nil
}
