package graph

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"tempera/training/device"
)

// Arena is the memory of the activations of one graph, or of several that never run at the same time: buckets of one model for several
// lengths, a policy and its reference. It has the size of the largest, is allocated when one of them is used first, and grows when a larger one joins
// later. A run makes the outputs of the other graphs undefined: reading them is an error.
type Arena struct {
	backend device.Backend
	running sync.Mutex // held during a run
	graphs  []*Graph
	buffer  device.Buffer
	holds   *Graph // whose results are in the memory; nil: nobody's
}

// NewArena is an arena without memory and without graphs.
func NewArena(b device.Backend) *Arena { return &Arena{backend: b} }

// join adds a graph that is compiled.
func (a *Arena) join(g *Graph) { a.graphs = append(a.graphs, g) }

// words is the need of the largest graph.
func (a *Arena) words() int {
	most := 0
	for _, g := range a.graphs {
		most = max(most, g.need)
	}
	return most
}

// reserve makes sure that there is memory for every graph. Where it must move, graphs that are ready get their places anew.
func (a *Arena) reserve() error {
	words := a.words()
	if words == 0 || a.buffer != nil && a.buffer.Words() >= words {
		return nil
	}
	if a.buffer != nil {
		var errs []error
		for _, g := range a.graphs {
			errs = append(errs, g.forget())
		}
		if err := errors.Join(append(errs, a.backend.Free(a.buffer))...); err != nil {
			return fmt.Errorf("graph: %w", err)
		}
		a.buffer, a.holds = nil, nil
	}
	b, err := a.backend.Alloc(words)
	if err != nil {
		return fmt.Errorf("graph: allocate %.1f MiB for activations: %w", float64(words*device.WordBytes)/(1<<20), err)
	}
	a.buffer = b
	for _, g := range a.graphs {
		if g.state == ready {
			g.place()
			g.bind()
		}
	}
	return nil
}

// leave removes a graph; the last one frees the memory.
func (a *Arena) leave(g *Graph) error {
	a.graphs = slices.DeleteFunc(a.graphs, func(o *Graph) bool { return o == g })
	if a.holds == g {
		a.holds = nil
	}
	if len(a.graphs) > 0 || a.buffer == nil {
		return nil
	}
	b := a.buffer
	a.buffer = nil
	return a.backend.Free(b)
}

// errBusy is the error of a run while another one uses the arena.
var errBusy = errors.New("graph: run: another graph is running on the same arena")
