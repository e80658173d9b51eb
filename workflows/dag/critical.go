package dag

// The priorities of a run's stages, as Temporal has them: 1 goes first.
const (
	firstPriority = 1
	lastPriority  = 5
)

// Below returns for each node how many stages are on the longest chain of those
// that wait for it.
func (p *Plan) Below() []int {
	below := make([]int, len(p.Nodes))
	for i := len(p.Nodes) - 1; i >= 0; i-- { // nodes come after those that they wait for
		for _, j := range p.Nodes[i].After {
			below[j] = max(below[j], below[i]+1)
		}
	}
	return below
}

// Priorities returns for each node with what priority it is run: 1 with the
// longest chain below it, 5 with none. Where workers are short, the critical
// path is not held up by stages that nothing waits for.
func (p *Plan) Priorities() []int {
	below := p.Below()
	longest := 1
	for _, n := range below {
		longest = max(longest, n)
	}
	keys := make([]int, len(below))
	for i, n := range below {
		keys[i] = lastPriority - (n*(lastPriority-firstPriority)+longest/2)/longest
	}
	return keys
}
