package objective

import (
	"errors"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

// buckets are graphs of one computation for texts of several lengths. They share parameters, gradients and the memory of activations; one
// that is never used costs nothing but its plan.
type buckets []bucket

type bucket struct {
	*graph.Graph
	tokens int // of a text, padding included
}

// bucketSpec says how buckets are built.
type bucketSpec struct {
	backend device.Backend
	options graph.Options // with an arena
	plan    Plan
	context int // the longest text
	define  func(g *graph.Graph, tokens int) *graph.Node
}

func (s bucketSpec) build() (buckets, error) {
	var b buckets
	shorter := slices.DeleteFunc(slices.Clone(s.plan.Lengths), func(n int) bool { return n >= s.context })
	for _, tokens := range append(shorter, s.context) {
		g, err := graph.Build(s.backend, s.options, func(g *graph.Graph) *graph.Node { return s.define(g, tokens) })
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b = append(b, bucket{g, tokens})
	}
	return b, nil
}

// of is the graph for texts of up to the given length.
func (b buckets) of(length int) bucket {
	for _, g := range b {
		if g.tokens >= length {
			return g
		}
	}
	return b[len(b)-1]
}

// graphs lists what memory is counted of.
func (b buckets) graphs() []*graph.Graph {
	gs := make([]*graph.Graph, len(b))
	for i, g := range b {
		gs[i] = g.Graph
	}
	return gs
}

// Close frees all graphs.
func (b buckets) Close() error {
	var errs []error
	for _, g := range b {
		errs = append(errs, g.Graph.Close())
	}
	return errors.Join(errs...)
}
