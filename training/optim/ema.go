package optim

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// EMA keeps exponential moving averages of parameters: the momentum encoders of
// He et al. 2020.
type EMA struct {
	backend device.Backend
	decay   float32
	online  []*graph.Param
	average []*graph.Param
}

// NewEMA copies the parameters. The copies are frozen and carry the same names.
func NewEMA(b device.Backend, params []*graph.Param, decay float32) (*EMA, error) {
	if !(decay >= 0 && decay <= 1) {
		return nil, fmt.Errorf("moving average: the decay is %v, give a number from 0 to 1", decay)
	}
	e := &EMA{backend: b, decay: decay, online: params}
	for _, p := range params {
		v, err := device.New(b, p.Value.Desc())
		if err != nil {
			return nil, fmt.Errorf("moving average of %s: %w", p.Name, err)
		}
		b.Copy(v, p.Value)
		e.average = append(e.average, &graph.Param{Name: p.Name, Value: v, Frozen: true})
	}
	return e, nil
}

// Params are the averages, in the order of the parameters given.
func (e *EMA) Params() []*graph.Param { return e.average }

// Update moves every average: average = decay average + (1 - decay) parameter.
func (e *EMA) Update() { e.move(e.decay) }

// UpdateRamped is Update with a decay that rises towards its value,
// min(decay, (1+step)/(10+step)): in a short run the averages follow from the
// start instead of remembering the initial weights for 1/(1-decay) steps.
func (e *EMA) UpdateRamped(step int64) {
	e.move(min(e.decay, float32(1+step)/float32(10+step)))
}

func (e *EMA) move(decay float32) {
	for i, p := range e.online {
		e.backend.EMA(e.average[i].Value, p.Value, decay)
	}
}

// State lists the averages, for checkpoints.
func (e *EMA) State() []Tensor {
	ts := make([]Tensor, len(e.average))
	for i, p := range e.average {
		ts[i] = Tensor{"ema." + p.Name, p.Value}
	}
	return ts
}
