package loader

import (
	"fmt"

	"tempera/datagen/sample"
)

// permutation is a bijection of 0..n-1 chosen by a key, computed without a
// table: a Feistel network over the next power of four, walked until it lands
// inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
type permutation struct {
	n    uint64
	half uint // bits of each half
	keys [4]uint64
}

func newPermutation(n int, key uint64) permutation {
	p := permutation{n: uint64(n), half: 1}
	for uint64(1)<<(2*p.half) < p.n {
		p.half++
	}
	for i := range p.keys {
		key = sample.Mix(key)
		p.keys[i] = key
	}
	return p
}

// at returns where position i goes; i must be below n.
func (p *permutation) at(i int) int {
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

// order says which sample of which part stands at each position of training.
// It is a function of the seed and the position alone.
//
// An epoch has as many positions as the parts have samples together. A part
// takes a share of them by its weight, and goes through its own samples evenly:
// none comes up a third time before all have come up twice.
type order struct {
	seed  uint64
	batch int
	size  []int // samples of each part
	share []int // positions of each part in an epoch
	epoch int   // their sum
}

func newOrder(seed uint64, batch int, parts []Part) (*order, error) {
	o := &order{seed: seed, batch: batch}
	total, weights := 0, 0.0
	for i, p := range parts {
		n := p.Data.Len()
		if n == 0 {
			return nil, fmt.Errorf("part %d of the training data is empty", i)
		}
		if p.Weight < 0 {
			return nil, fmt.Errorf("part %d of the training data has the weight %g: use 0 (by its size) or more", i, p.Weight)
		}
		o.size = append(o.size, n)
		total += n
		weights += weightOf(p)
	}
	for i, p := range parts {
		share := o.size[i]
		if weights > 0 {
			exact := float64(float64(total) * (weightOf(p) / weights)) // rounded here: no fused addition below
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

// weightOf is a part's weight; without one it weighs what it holds.
func weightOf(p Part) float64 {
	if p.Weight == 0 {
		return float64(p.Data.Len())
	}
	return p.Weight
}

// steps returns how many whole batches an epoch has; the rest is dropped.
func (o *order) steps() int64 { return int64(o.epoch / o.batch) }

// place is one sample of a batch.
type place struct {
	part, index int
	epoch       uint64 // how often the part's samples came up before
}

// batchAt returns the samples of a step.
func (o *order) batchAt(step int64) (epoch int64, places []place) {
	epoch = step / o.steps()
	first := int(step%o.steps()) * o.batch
	mixed := newPermutation(o.epoch, o.key(epoch, -1))
	places = make([]place, o.batch)
	for j := range places {
		v := mixed.at(first + j)
		part := 0
		for v >= o.share[part] {
			v -= o.share[part]
			part++
		}
		// Position v of the part's share, counted over all epochs.
		q := epoch*int64(o.share[part]) + int64(v)
		n := int64(o.size[part])
		own := newPermutation(o.size[part], o.key(q/n, part))
		places[j] = place{part: part, index: own.at(int(q % n)), epoch: uint64(q / n)}
	}
	return epoch, places
}

func (o *order) key(epoch int64, part int) uint64 {
	return sample.Mix(o.seed ^ sample.Mix(uint64(epoch)) ^ sample.Mix(sample.Mix(uint64(part+1))))
}
