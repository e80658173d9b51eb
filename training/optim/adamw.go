package optim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

// Tensor is a named value that belongs to the state of a run.
type Tensor struct {
	Name  string
	Value *device.Value
}

// Options are an optimiser's constants.
type Options struct {
	Method   Method  `json:"method,omitempty"` // AdamW where empty
	Beta1    float64 `json:"beta1"`
	Beta2    float64 `json:"beta2"`
	Eps      float64 `json:"eps"`
	Momentum float64 `json:"momentum,omitempty"` // of Muon; 0 means 0.95
	Decay    float64 `json:"decay"`              // decoupled; not applied to parameters marked NoDecay
	Clip     float64 `json:"clip"`               // largest norm of all gradients together; 0: none
}

// DefaultOptions are those of CLIP (Radford et al. 2021) with a decay of 0.1 and
// a clip at 1.
func DefaultOptions() Options {
	return Options{Beta1: 0.9, Beta2: 0.98, Eps: 1e-6, Decay: 0.1, Clip: 1}
}

// Validate returns all faults at once.
func (o Options) Validate() error {
	var faults []error
	for _, b := range []struct {
		name  string
		value float64
	}{{"beta1", o.Beta1}, {"beta2", o.Beta2}} {
		if !(b.value >= 0 && b.value < 1) {
			faults = append(faults, fmt.Errorf("%s is %v: give a number from 0 to below 1", b.name, b.value))
		}
	}
	if !slices.Contains(Methods(), cmp.Or(o.Method, UseAdamW)) {
		faults = append(faults, fmt.Errorf("there is no optimiser %q: use one of %v", o.Method, Methods()))
	}
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		faults = append(faults, fmt.Errorf("momentum is %v: give a number from 0 to below 1", o.Momentum))
	}
	if !(o.Eps > 0) {
		faults = append(faults, fmt.Errorf("eps is %v: give a small positive number, such as 1e-6", o.Eps))
	}
	if !(o.Decay >= 0) {
		faults = append(faults, fmt.Errorf("weight decay is %v: give 0 or more", o.Decay))
	}
	if !(o.Clip >= 0) {
		faults = append(faults, fmt.Errorf("the gradient clip is %v: give a norm, or 0 for none", o.Clip))
	}
	return errors.Join(faults...)
}

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019) and
// bias correction. Frozen parameters are left out.
type AdamW struct {
	group
	m, v []*device.Value
}

var _ Optimizer = (*AdamW)(nil)

// NewAdamW allocates gradients, where no graph has done so yet, and moments.
func NewAdamW(b device.Backend, params []*graph.Param, o Options) (*AdamW, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("adamw: %w", err)
	}
	g, err := newGroup(b, params, o)
	if err != nil {
		return nil, fmt.Errorf("adamw: %w", err)
	}
	a := &AdamW{group: g}
	for _, moments := range []*[]*device.Value{&a.m, &a.v} {
		if *moments, err = a.zeros(); err != nil {
			return nil, fmt.Errorf("adamw: %w", err)
		}
	}
	return a, nil
}

// Step is part of Optimizer.
func (a *AdamW) Step(step int64, lr float64) (float64, error) {
	return a.backend.Update(device.UpdateArgs{Grads: a.grads, Clip: a.options.Clip, AdamW: a.steps(step, lr)})
}

// steps are those of all parameters.
func (a *AdamW) steps(step int64, lr float64) []device.AdamWArgs {
	all := make([]device.AdamWArgs, len(a.params))
	for i, p := range a.params {
		all[i] = device.AdamWArgs{
			P: p.Value, G: p.Grad, M: a.m[i], V: a.v[i],
			LR: lr * a.rates[i], Beta1: a.options.Beta1, Beta2: a.options.Beta2, Eps: a.options.Eps,
			Decay: a.decay(p), Step: int(step + 1),
		}
	}
	return all
}

// State lists the moments, for checkpoints.
func (a *AdamW) State() []Tensor {
	var ts []Tensor
	for i, p := range a.params {
		ts = append(ts, Tensor{"adamw.m." + p.Name, a.m[i]}, Tensor{"adamw.v." + p.Name, a.v[i]})
	}
	return ts
}
