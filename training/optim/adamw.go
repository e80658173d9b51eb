package optim

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/graph"
)

// Tensor is a named value that belongs to the state of a run.
type Tensor struct {
	Name  string
	Value *device.Value
}

// Options are AdamW's constants.
type Options struct {
	Beta1 float64 `json:"beta1"`
	Beta2 float64 `json:"beta2"`
	Eps   float64 `json:"eps"`
	Decay float64 `json:"decay"` // decoupled; not applied to parameters marked NoDecay
	Clip  float64 `json:"clip"`  // largest norm of all gradients together; 0: none
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
	backend device.Backend
	options Options
	params  []*graph.Param
	grads   []*device.Value
	m, v    []*device.Value
	rates   []float64 // share of the rate that each parameter takes
}

// NewAdamW allocates gradients, where no graph has done so yet, and moments.
func NewAdamW(b device.Backend, params []*graph.Param, o Options) (*AdamW, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("adamw: %w", err)
	}
	a := &AdamW{backend: b, options: o}
	for _, p := range params {
		if !p.Trained() {
			continue
		}
		if p.Grad == nil {
			g, err := device.New(b, p.Value.Desc())
			if err != nil {
				return nil, fmt.Errorf("adamw: gradient of %s: %w", p.Name, err)
			}
			p.Grad = g
		}
		for _, moments := range []*[]*device.Value{&a.m, &a.v} {
			v, err := device.New(b, p.Value.Desc())
			if err != nil {
				return nil, fmt.Errorf("adamw: moments of %s: %w", p.Name, err)
			}
			*moments = append(*moments, v)
		}
		a.params = append(a.params, p)
		a.grads = append(a.grads, p.Grad)
		a.rates = append(a.rates, 1)
	}
	if len(a.params) == 0 {
		return nil, errors.New("adamw: there is no parameter to train")
	}
	return a, nil
}

// StateBytes is the memory that NewAdamW takes for a parameter's moments.
func StateBytes(p *graph.Param) int64 {
	if !p.Trained() {
		return 0
	}
	return 2 * int64(p.Value.MemSize())
}

// ScaleRates sets the share of the rate that each parameter takes; before, all
// take the whole.
func (a *AdamW) ScaleRates(share func(*graph.Param) float64) {
	for i, p := range a.params {
		a.rates[i] = share(p)
	}
}

// ZeroGrad clears the gradients of all parameters.
func (a *AdamW) ZeroGrad() {
	for _, g := range a.grads {
		a.backend.Zero(g)
	}
}

// GradNorm is the Euclidean norm of all gradients together, accumulated in
// float64 in the order of the parameters.
func (a *AdamW) GradNorm() (float64, error) {
	s, err := a.backend.SumSquares(a.grads)
	return math.Sqrt(s), err
}

// Step updates the parameters with the rate lr. norm is GradNorm, by which the
// gradients are clipped; step counts from 0.
func (a *AdamW) Step(step int64, lr, norm float64) {
	scale := 1.0
	if c := a.options.Clip; c > 0 && norm > c {
		scale = c / (norm + 1e-6)
	}
	for i, p := range a.params {
		decay := a.options.Decay
		if p.NoDecay {
			decay = 0
		}
		a.backend.AdamW(device.AdamWArgs{
			P: p.Value, G: p.Grad, M: a.m[i], V: a.v[i],
			LR: lr * a.rates[i], Beta1: a.options.Beta1, Beta2: a.options.Beta2, Eps: a.options.Eps,
			Decay: decay, GradScale: scale, Step: int(step + 1),
		})
	}
}

// State lists the moments, for checkpoints.
func (a *AdamW) State() []Tensor {
	var ts []Tensor
	for i, p := range a.params {
		ts = append(ts, Tensor{"m." + p.Name, a.m[i]}, Tensor{"v." + p.Name, a.v[i]})
	}
	return ts
}
