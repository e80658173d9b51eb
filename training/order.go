package training

import (
	"fmt"
	"math/rand/v2"
)

// Order is the order in which a data set is seen: epoch after epoch, each a
// permutation of its own, cut into whole batches; the rows left over by an epoch
// rest until the next one. It is a function of the seed and the step.
type Order struct {
	rows, batch int
	seed        uint64
	epoch       int64
	permutation []int
}

// NewOrder orders rows into batches. Fewer rows than a batch are an error: a
// batch that held a row twice would contrast it with itself.
func NewOrder(rows, batch int, seed uint64) (*Order, error) {
	if batch < 1 || rows < batch {
		return nil, fmt.Errorf("a data set of %d rows does not fill a batch of %d: lower the batch size or give more data", rows, batch)
	}
	return &Order{rows: rows, batch: batch, seed: seed, epoch: -1}, nil
}

// StepsPerEpoch is the number of batches in an epoch.
func (o *Order) StepsPerEpoch() int64 { return int64(o.rows / o.batch) }

// Batch returns the rows of a step. The slice is valid until the next call, and
// calls must not overlap.
func (o *Order) Batch(step int64) []int {
	epoch := step / o.StepsPerEpoch()
	if epoch != o.epoch {
		o.permutation = rand.New(rand.NewPCG(o.seed, uint64(epoch))).Perm(o.rows)
		o.epoch = epoch
	}
	at := int(step%o.StepsPerEpoch()) * o.batch
	return o.permutation[at : at+o.batch]
}
