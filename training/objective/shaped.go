package objective

import (
	"errors"
	"fmt"

	"tempera/training/graph"
)

// shapedGraph computes parts of batches of one shape.
type shapedGraph[S comparable] struct {
	*graph.Graph
	shape S
}

// shapedGraphs are the graphs of an objective, one for each shape that its batches have.
type shapedGraphs[S comparable] []shapedGraph[S]

// of finds the graph of a shape.
func (gs shapedGraphs[S]) of(s S) (g shapedGraph[S], err error) {
	for _, g := range gs {
		if g.shape == s {
			return g, nil
		}
	}
	return g, fmt.Errorf("the batch has the shape %+v, which nothing was built for", s)
}

func (gs shapedGraphs[S]) all() []*graph.Graph {
	all := make([]*graph.Graph, len(gs))
	for i, g := range gs {
		all[i] = g.Graph
	}
	return all
}

func (gs shapedGraphs[S]) close() error {
	var errs []error
	for _, g := range gs {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}
