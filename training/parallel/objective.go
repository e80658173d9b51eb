package parallel

import (
	"errors"
	"fmt"
	"io"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/optim"
)

// Replica is an objective that can share its steps with others of the same configuration, each on a device of its own. It has no state but its parameters.
type Replica interface {
	training.Objective
	training.Costed
	training.Sized
	io.Closer
	// Take makes it run micro-batches first, first+of, first+2of and so on of each step only. Its metrics are sums over those, each by its share of the batch.
	// That they cannot be divided evenly is an error.
	Take(first, of int) error
	// Gather takes from another replica what that has counted in the step, for Updated, and completes the metrics of the step.
	Gather(other training.Objective, m training.Metrics)
}

// Objective is what replicas learn together. Its parameters are those of the root: what moves them, an optimiser, a resume or a rewind, need not know of the
// others, which get them at the beginning of each step. A step has the loss and the gradients of the whole batch, up to rounding, and the same bits
// on every run with as many devices.
type Objective struct {
	group    device.Group
	replicas []Replica
	all      [][]*device.Value // parameters of each rank
	moving   [][]*device.Value // those that steps change
	grads    [][]*device.Value // nil: no step has begun
}

var _ training.Objective = (*Objective)(nil)

// New divides steps among replicas, which are on the backends of a group. Closing it closes them.
func New(group device.Group, replicas ...Replica) (*Objective, error) {
	o := &Objective{group: group, replicas: replicas}
	for rank, r := range replicas {
		if len(r.State()) > 0 {
			return nil, errors.New("the objective keeps a state of whole batches, such as queues: train it on one device")
		}
		if err := r.Take(rank, len(replicas)); err != nil {
			return nil, err
		}
		var all, moving []*device.Value
		for i, p := range r.Params() {
			if root := o.Params()[i]; p.Name != root.Name || p.Frozen != root.Frozen {
				return nil, fmt.Errorf("replica %d has %s where the root has %s", rank, p.Name, root.Name)
			}
			all = append(all, p.Value)
			if moves(p) {
				moving = append(moving, p.Value)
			}
		}
		o.all, o.moving = append(o.all, all), append(o.moving, moving)
	}
	return o, nil
}

// moves tells whether steps may change a parameter. Of frozen ones the vectors count: an objective may move them itself, as the balance of experts.
func moves(p *graph.Param) bool { return p.Trained() || p.Value.Desc().Rank() < 2 }

func (o *Objective) root() Replica { return o.replicas[0] }

// Params is part of training.Objective.
func (o *Objective) Params() []*graph.Param { return o.root().Params() }

// State is part of training.Objective: there is none.
func (o *Objective) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Where one replica fails, the others end their part first.
func (o *Objective) Step(step int64, b *training.Batch) (training.Metrics, error) {
	if err := o.begin(); err != nil {
		return nil, err
	}
	metrics := make([]training.Metrics, len(o.replicas))
	err := device.Each(len(o.replicas), func(rank int) error {
		backend := o.group.Backends()[rank]
		if rank > 0 { // the loop clears the root's
			backend.Zero(o.grads[rank]...)
		}
		var err error
		if metrics[rank], err = o.replicas[rank].Step(step, b); err != nil {
			return fmt.Errorf("%s: %w", backend.Name(), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := o.group.Reduce(o.grads); err != nil {
		return nil, err
	}
	total := metrics[0]
	for rank := 1; rank < len(o.replicas); rank++ {
		total.Add(metrics[rank], 1)
		o.root().Gather(o.replicas[rank], total)
	}
	return total, nil
}

// begin gives the replicas the root's parameters; in the first step also those that stay as they are.
func (o *Objective) begin() error {
	if o.grads != nil {
		return o.group.Broadcast(o.moving)
	}
	grads := make([][]*device.Value, len(o.replicas))
	for rank, r := range o.replicas {
		for _, p := range r.Params() {
			if !p.Trained() {
				continue
			}
			if p.Grad == nil {
				g, err := device.New(o.group.Backends()[rank], p.Value.Desc())
				if err != nil {
					return fmt.Errorf("gradient of %s: %w", p.Name, err)
				}
				p.Grad = g
			}
			grads[rank] = append(grads[rank], p.Grad)
		}
	}
	if err := o.group.Broadcast(o.all); err != nil {
		return err
	}
	o.grads = grads
	return nil
}

// Updated is part of training.Objective.
func (o *Objective) Updated(step int64) error { return o.root().Updated(step) }

// RateShare is part of training.Rated.
func (o *Objective) RateShare(p *graph.Param) float64 {
	if r, ok := o.root().(training.Rated); ok {
		return r.RateShare(p)
	}
	return 1
}

// StepFLOPs is part of training.Costed: those of all devices.
func (o *Objective) StepFLOPs() float64 { return o.root().StepFLOPs() }

// Devices is part of training.Spread.
func (o *Objective) Devices() int { return len(o.replicas) }

// Needs is part of training.Sized: those of the root, which besides has the optimiser. No device needs more.
func (o *Objective) Needs(batch int) (training.Needs, error) { return o.root().Needs(batch) }

// Close closes the replicas.
func (o *Objective) Close() error {
	var errs []error
	for _, r := range o.replicas {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
