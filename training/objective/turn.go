package objective

import (
	"fmt"

	"tempera/training"
)

// turn is which micro-batches of a step an objective runs: all of them or, as one of several replicas, every of-th one from first on.
type turn struct{ first, of int }

// turns is a turn of steps that are split as the plan says.
func (p Plan) turns(first, of int) (turn, error) {
	if p.parts()%of != 0 {
		return turn{}, fmt.Errorf("a step of %d micro-batches on %d devices: accumulate in a multiple of the devices", p.parts(), of)
	}
	return turn{first, of}, nil
}

// own leaves the shares of the turn's micro-batches; those of others become 0, which nobody runs.
func (t turn) own(shares []float64) []float64 {
	for i := range shares {
		if t.of > 1 && i%t.of != t.first {
			shares[i] = 0
		}
	}
	return shares
}

// gather ends a step that replicas have shared: the loads that another one has counted become this one's, and the metric that they make.
func (b *balancer) gather(other *balancer, m training.Metrics) {
	if b == nil {
		return
	}
	for i, l := range b.layers {
		for k, n := range other.layers[i].counts {
			l.counts[k] += n
		}
		clear(other.layers[i].counts)
	}
	b.measure(m)
}
