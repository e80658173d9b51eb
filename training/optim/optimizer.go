package optim

import (
	"errors"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/graph"
)

// Method names an optimiser.
type Method string

// The optimisers.
const (
	UseAdamW Method = "adamw"
	UseMuon  Method = "muon"
)

// Methods are all optimisers.
func Methods() []Method { return []Method{UseAdamW, UseMuon} }

// Optimizer updates parameters from their gradients.
type Optimizer interface {
	// ZeroGrad clears the gradients of all parameters.
	ZeroGrad()
	// GradNorm is the Euclidean norm of all gradients together, accumulated in float64 in the order of the parameters.
	GradNorm() (float64, error)
	// Step updates the parameters with the rate lr and returns the gradients' norm, by which they are clipped. Where it is not a number nothing changes.
	// Steps count from 0.
	Step(step int64, lr float64) (norm float64, err error)
	// ScaleRates sets the share of the rate that each parameter takes; before, all take the whole.
	ScaleRates(share func(*graph.Param) float64)
	// State lists what a checkpoint must hold, under names that do not change.
	State() []Tensor
}

// New makes the optimiser that the options name.
func New(b device.Backend, params []*graph.Param, o Options) (Optimizer, error) {
	if o.Method == UseMuon {
		return NewMuon(b, params, o)
	}
	return NewAdamW(b, params, o)
}

// StateBytes is the memory that the optimiser takes for a parameter, besides its gradient.
func (o Options) StateBytes(p *graph.Param) int64 {
	switch {
	case !p.Trained():
		return 0
	case o.Method == UseMuon && Hidden(p):
		return int64(p.Value.MemSize())
	default:
		return 2 * int64(p.Value.MemSize())
	}
}

// group is the trained parameters of an optimiser.
type group struct {
	backend device.Backend
	options Options
	params  []*graph.Param
	grads   []*device.Value
	rates   []float64 // share of the rate that each parameter takes
}

// newGroup leaves frozen parameters out and allocates gradients where no graph
// has done so yet.
func newGroup(b device.Backend, params []*graph.Param, o Options) (group, error) {
	g := group{backend: b, options: o}
	for _, p := range params {
		if !p.Trained() {
			continue
		}
		if p.Grad == nil {
			v, err := device.New(b, p.Value.Desc())
			if err != nil {
				return g, fmt.Errorf("gradient of %s: %w", p.Name, err)
			}
			p.Grad = v
		}
		g.params = append(g.params, p)
		g.grads = append(g.grads, p.Grad)
		g.rates = append(g.rates, 1)
	}
	if len(g.params) == 0 {
		return g, errors.New("there is no parameter to train")
	}
	return g, nil
}

// zeros is a state of each parameter's shape.
func (g *group) zeros() ([]*device.Value, error) {
	var vs []*device.Value
	for _, p := range g.params {
		v, err := device.New(g.backend, p.Value.Desc())
		if err != nil {
			return nil, fmt.Errorf("state of %s: %w", p.Name, err)
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// ZeroGrad is part of Optimizer.
func (g *group) ZeroGrad() {
	g.backend.Zero(g.grads...)
}

// GradNorm is part of Optimizer.
func (g *group) GradNorm() (float64, error) {
	s, err := g.backend.SumSquares(g.grads)
	return math.Sqrt(s), err
}

// ScaleRates is part of Optimizer.
func (g *group) ScaleRates(share func(*graph.Param) float64) {
	for i, p := range g.params {
		g.rates[i] = share(p)
	}
}

// decay is the decay of a parameter.
func (g *group) decay(p *graph.Param) float64 {
	if p.NoDecay {
		return 0
	}
	return g.options.Decay
}
