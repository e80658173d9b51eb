// Package order says which sample of which data set stands at each place of a
// training: a function of the seed and the step alone, so that a run that
// resumes in the middle of an epoch sees what it would have seen.
package order

import (
	"errors"
	"fmt"

	"tempera/datagen/sample"
)

// Permutation is a bijection of 0..n-1 chosen by a key, computed without a
// table: a Feistel network over the next power of four, walked until it lands
// inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
type Permutation struct {
	n    uint64
	half uint // bits of each half
	keys [4]uint64
}

// NewPermutation makes the permutation of n numbers that a key chooses.
func NewPermutation(n int, key uint64) Permutation {
	p := Permutation{n: uint64(n), half: 1}
	for uint64(1)<<(2*p.half) < p.n {
		p.half++
	}
	for i := range p.keys {
		key = sample.Mix(key)
		p.keys[i] = key
	}
	return p
}

// At returns where position i goes; i must be below n.
func (p *Permutation) At(i int) int {
	mask := uint64(1)<<p.half - 1
	v := uint64(i)
	for {
		left, right := v>>p.half, v&mask
		for _, k := range p.keys {
			left, right = right, left^sample.Mix(right^k)&mask
		}
		v = left<<p.half | right
		if v < p.n {
			return int(v)
		}
	}
}

// Part is one data set of a mixture.
type Part struct {
	Size   int     // samples
	Weight float64 // relative share of the samples; 0 means its size
}

// Order is the order of a mixture.
//
// An epoch has as many positions as the parts have samples together. A part
// takes a share of them by its weight, and goes through its own samples evenly:
// none comes up a third time before all have come up twice.
type Order struct {
	seed  uint64
	batch int
	size  []int // samples of each part
	share []int // positions of each part in an epoch
	epoch int   // their sum
}

// ErrNoData says that there is no part.
var ErrNoData = errors.New("no training data")

// New checks the parts against each other. Fewer samples than a batch are an error.
func New(seed uint64, batch int, parts []Part) (*Order, error) {
	if len(parts) == 0 {
		return nil, ErrNoData
	}
	o := &Order{seed: seed, batch: batch}
	total, weights := 0, 0.0
	for i, p := range parts {
		if p.Size == 0 {
			return nil, fmt.Errorf("part %d of the training data is empty", i)
		}
		if p.Weight < 0 {
			return nil, fmt.Errorf("part %d of the training data has the weight %g: use 0 (by its size) or more", i, p.Weight)
		}
		o.size = append(o.size, p.Size)
		total += p.Size
		weights += p.weight()
	}
	for i, p := range parts {
		share := o.size[i]
		if weights > 0 {
			exact := float64(float64(total) * (p.weight() / weights)) // rounded here: no fused addition below
			share = max(1, int(exact+0.5))
		}
		o.share = append(o.share, share)
		o.epoch += share
	}
	if o.epoch < batch {
		return nil, fmt.Errorf("%d samples do not fill a batch of %d: lower the batch size or add data", o.epoch, batch)
	}
	return o, nil
}

// weight is a part's weight; without one it weighs what it holds.
func (p Part) weight() float64 {
	if p.Weight == 0 {
		return float64(p.Size)
	}
	return p.Weight
}

// Steps returns how many whole batches an epoch has; the rest is dropped.
func (o *Order) Steps() int64 { return int64(o.epoch / o.batch) }

// Epochs returns how often each part has been gone through after a number of steps.
func (o *Order) Epochs(steps int64) []float64 {
	done := make([]float64, len(o.size))
	for i := range done {
		done[i] = float64(steps) / float64(o.Steps()) * float64(o.share[i]) / float64(o.size[i])
	}
	return done
}

// Place is one sample of a batch.
type Place struct {
	Part, Index int
	Epoch       uint64 // how often the part's samples came up before
}

// Batch returns the samples of a step.
func (o *Order) Batch(step int64) (epoch int64, places []Place) {
	epoch = step / o.Steps()
	first := int(step%o.Steps()) * o.batch
	mixed := NewPermutation(o.epoch, o.key(epoch, -1))
	places = make([]Place, o.batch)
	for j := range places {
		v := mixed.At(first + j)
		part := 0
		for v >= o.share[part] {
			v -= o.share[part]
			part++
		}
		// Position v of the part's share, counted over all epochs.
		q := epoch*int64(o.share[part]) + int64(v)
		n := int64(o.size[part])
		own := NewPermutation(o.size[part], o.key(q/n, part))
		places[j] = Place{Part: part, Index: own.At(int(q % n)), Epoch: uint64(q / n)}
	}
	return epoch, places
}

func (o *Order) key(epoch int64, part int) uint64 {
	return sample.Mix(o.seed ^ sample.Mix(uint64(epoch)) ^ sample.Mix(sample.Mix(uint64(part+1))))
}
