// Package diloco is the outer optimiser of DiLoCo (Douillard et al. 2023,
// arXiv:2311.08105): replicas train by themselves from the same weights for a
// number of steps, then the weights move by the mean of what they learned.
//
// The rounds themselves are stages (kinds train_replica and average); here is the
// arithmetic of one.
package diloco

import (
	"errors"
	"fmt"
	"math"
)

// Outer is SGD with Nesterov's momentum on the outer gradient, as PyTorch's SGD
// has it:
//
//	g = start - mean of the replicas
//	v = Momentum v + g
//	w = start - Rate (g + Momentum v)
type Outer struct {
	Rate     float64
	Momentum float64 // 0: none
}

// Default is the outer optimiser of the paper.
func Default() Outer { return Outer{Rate: 0.7, Momentum: 0.9} }

// Validate returns all faults at once.
func (o Outer) Validate() error {
	var faults []error
	if !(o.Rate > 0) || math.IsInf(o.Rate, 0) {
		faults = append(faults, fmt.Errorf("the outer learning rate is %v: give a positive number, such as 0.7", o.Rate))
	}
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		faults = append(faults, fmt.Errorf("the outer momentum is %v: give 0 up to less than 1, such as 0.9", o.Momentum))
	}
	return errors.Join(faults...)
}

// Tensor is one parameter of a round, all slices of equal length.
type Tensor struct {
	Name     string
	Start    []float32   // what the replicas began with
	Replicas [][]float32 // what they ended with; the order fixes the bits of the sum
	Velocity []float32   // v of the round before, which Move replaces; zeros in the first round
	Moved    []float32   // gets w; may be Start
}

// Drift tells how far replicas moved from their start: sums of squares.
type Drift struct {
	Mean float64 // of the outer gradient
	Each float64 // of a replica's own move, on average over the replicas
}

// Add adds the drift of other parameters.
func (d *Drift) Add(other Drift) {
	d.Mean += other.Mean
	d.Each += other.Each
}

// Norm is the norm of the outer gradient.
func (d Drift) Norm() float64 { return math.Sqrt(d.Mean) }

// Agreement is 1 where all replicas made the same move and 1/W where the moves of
// W are orthogonal; 1 where nothing moved.
func (d Drift) Agreement() float64 {
	if d.Each == 0 {
		return 1
	}
	return d.Mean / d.Each
}

// Move takes the outer step of one parameter. Sums are of float64 in the order of
// the replicas, so that one replica with rate 1 and no momentum gives that
// replica's own bits. A replica's value that is no number is an error.
func (o Outer) Move(t Tensor) (Drift, error) {
	if err := t.check(); err != nil {
		return Drift{}, err
	}
	share := 1 / float64(len(t.Replicas))
	var d Drift
	for k, s := range t.Start {
		start, sum, squares := float64(s), 0.0, 0.0
		for _, r := range t.Replicas {
			move := start - float64(r[k])
			sum += move
			squares += move * move
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return Drift{}, fmt.Errorf("parameter %s, value %d: a replica's is no number", t.Name, k)
		}
		g := sum * share
		v := o.Momentum*float64(t.Velocity[k]) + g
		t.Velocity[k] = float32(v)
		t.Moved[k] = float32(start - o.Rate*(g+o.Momentum*v))
		d.Add(Drift{g * g, squares * share})
	}
	return d, nil
}

func (t Tensor) check() error {
	if len(t.Replicas) == 0 {
		return fmt.Errorf("parameter %s: there is no replica", t.Name)
	}
	n := len(t.Start)
	for i, r := range t.Replicas {
		if len(r) != n {
			return fmt.Errorf("parameter %s has %d values, and %d in replica %d", t.Name, n, len(r), i)
		}
	}
	if len(t.Velocity) != n || len(t.Moved) != n {
		return fmt.Errorf("parameter %s has %d values, its velocity %d, and there is room for %d", t.Name, n, len(t.Velocity), len(t.Moved))
	}
	return nil
}
