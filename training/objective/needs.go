package objective

import (
	"tempera/training"
	"tempera/training/graph"
)

// sized is an objective that has been planned.
type sized interface {
	Memory() graph.Memory
	Close() error
}

// needsOf plans an objective for another batch; rowBytes is a row of the batch on the host. Nothing is allocated.
func needsOf(p Plan, batch, rowBytes int, plan func(Plan) (sized, error)) (training.Needs, error) {
	p.Batch = batch
	o, err := plan(p)
	if err != nil {
		return training.Needs{}, err
	}
	m := o.Memory()
	return training.Needs{Activations: m.Arena, Inputs: m.Inputs, Batch: int64(batch) * int64(rowBytes)}, o.Close()
}
