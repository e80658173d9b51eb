package graph

import (
	"fmt"

	"tempera/training/device"
)

// Memory is what graphs use, in bytes. Parameters and their gradients may be shared with other graphs.
type Memory struct {
	Parameters int64
	Gradients  int64
	Inputs     int64 // constants and the loss's own gradient included
	Arena      int64 // activations, their gradients, saved state and scratch, as planned
	Separate   int64 // the same without reuse
}

// Peak is everything that exists during a run.
func (m Memory) Peak() int64 { return m.Parameters + m.Gradients + m.Inputs + m.Arena }

func (m Memory) String() string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB: parameters %.1f, gradients %.1f, inputs %.1f, activations %.1f (%.1f without reuse)",
		float64(m.Peak())/mib, float64(m.Parameters)/mib, float64(m.Gradients)/mib, float64(m.Inputs)/mib, float64(m.Arena)/mib, float64(m.Separate)/mib)
}

// Memory is what Compile planned. It is exact but for scratch that kernels lease for their own use.
func (g *Graph) Memory() Memory { return Together(g) }

// Together is what compiled graphs use at once: parameters and gradients that several use count once, and of the graphs that share an
// arena only the largest counts.
func Together(graphs ...*Graph) Memory {
	var m Memory
	seen := map[*Param]bool{}
	gradients := map[*Param]bool{}
	arenas := map[*Arena]int64{}
	for _, g := range graphs {
		ofParam := map[*slot]*Param{}
		for _, n := range g.nodes {
			if n.param != nil {
				ofParam[n.slot] = n.param
			}
		}
		for _, s := range g.slots {
			switch p := ofParam[s]; {
			case !s.fixed:
			case p != nil:
				m.Parameters += once(seen, p)
			case s.param != nil:
				m.Gradients += once(gradients, s.param)
			default:
				m.Inputs += bytesOf(s.desc)
			}
		}
		m.Separate += g.memory.Separate
		m.Arena += max(0, g.memory.Arena-arenas[g.arena])
		arenas[g.arena] = max(arenas[g.arena], g.memory.Arena)
	}
	return m
}

// once is the size of a parameter that has not been counted.
func once(seen map[*Param]bool, p *Param) int64 {
	if seen[p] {
		return 0
	}
	seen[p] = true
	return bytesOf(p.Value.Desc())
}

func bytesOf(d device.Desc) int64 { return int64(d.Words()) * device.WordBytes }
