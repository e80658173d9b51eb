package model

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// batched runs graphs without a reverse pass on batches of one size; its calls may
// have any number of rows. A graph is built when it is first needed. It is not safe
// for concurrent use.
type batched struct {
	what   string // in errors
	model  *Model
	batch  int
	graphs map[string]*graph.Graph
}

func newBatched(what string, m *Model, batch int) (batched, error) {
	if batch < 1 {
		return batched{}, fmt.Errorf("%s: the batch is %d: give 1 or more", what, batch)
	}
	return batched{what: what, model: m, batch: batch, graphs: map[string]*graph.Graph{}}, nil
}

// Close frees the graphs. The model stays.
func (s *batched) Close() error {
	var errs []error
	for _, g := range s.graphs {
		errs = append(errs, g.Close())
	}
	clear(s.graphs)
	return errors.Join(errs...)
}

// evaluate builds a graph once.
func (s *batched) evaluate(name string, define func(g *graph.Graph) *graph.Node) (*graph.Graph, error) {
	if g := s.graphs[name]; g != nil {
		return g, nil
	}
	g, err := graph.Build(s.model.backend, graph.Options{}, func(g *graph.Graph) *graph.Node {
		g.Output(outResult, define(g))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.what, name, err)
	}
	s.graphs[name] = g
	return g, nil
}

// batches runs a graph over n rows and joins its results. feed provides the rows
// [from, to), at most a batch; what it leaves of the batch is ignored.
func (s *batched) batches(g *graph.Graph, n int, feed func(from, to int) error) ([]float32, error) {
	var out []float32
	for from := 0; from < n; from += s.batch {
		to := min(from+s.batch, n)
		v, err := s.run(g, func() error { return feed(from, to) })
		if err != nil {
			return nil, err
		}
		width := len(v) / s.batch
		if out == nil {
			out = make([]float32, 0, n*width)
		}
		out = append(out, v[:(to-from)*width]...)
	}
	return out, nil
}

// run computes one batch.
func (s *batched) run(g *graph.Graph, feed func() error) ([]float32, error) {
	if err := feed(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.what, err)
	}
	if err := g.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.what, err)
	}
	v, err := g.Read(outResult)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.what, err)
	}
	return v, nil
}

func (s *batched) imageInput(g *graph.Graph) *graph.Node {
	side := s.model.Config.Vision.Image
	return g.Input(inImages, device.Float32, s.batch, 3, side, side)
}

// ofImages runs a graph that has imageInput over square images, of which there are n.
func (s *batched) ofImages(name string, images []float32, define func(g *graph.Graph) *graph.Node) (out []float32, n int, err error) {
	pixels := s.model.Config.Vision.Pixels()
	n = len(images) / pixels
	if n*pixels != len(images) {
		return nil, 0, fmt.Errorf("%s: %d values are not images of %d", s.what, len(images), pixels)
	}
	g, err := s.evaluate(name, define)
	if err != nil {
		return nil, 0, err
	}
	out, err = s.batches(g, n, func(from, to int) error {
		return g.Feed(inImages, padded(images[from*pixels:to*pixels], s.batch*pixels))
	})
	return out, n, err
}

// padded is v with zeros up to n elements.
func padded(v []float32, n int) []float32 {
	if len(v) == n {
		return v
	}
	out := make([]float32, n)
	copy(out, v)
	return out
}
