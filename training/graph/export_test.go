package graph

import "tempera/training/device"

// LiveBytes is the largest sum of the tensors that live at one step: no plan can need less.
func (g *Graph) LiveBytes() int64 {
	most := 0
	for i := range g.steps {
		words := 0
		for _, s := range g.slots {
			if !s.fixed && s.from <= i && i <= s.to {
				words += roundUp(s.desc.Size())
			}
		}
		most = max(most, words)
	}
	return int64(most) * device.WordBytes
}
