package graph_test

import (
	"slices"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

func TestMemoryIsAllocatedAtFirstUseAsPredicted(t *testing.T) {
	for name, o := range map[string]graph.Options{"kept": {Train: true}, "computed again": {Train: true, Checkpoint: true}, "evaluated": {}} {
		t.Run(name, func(t *testing.T) {
			b := &counting{Backend: newCPU(t, 1, device.HostHeap())}
			m := newClassifier(t, b)
			before := b.words
			g := build(t, b, o, m.define(samples))
			if b.words != before {
				t.Fatalf("%d words were allocated before the graph was used", b.words-before)
			}
			ids, labels := m.batch(9, samples)
			m.step(t, g, ids, labels)
			memory := g.Memory()
			if got, want := int64(b.words-before)*device.WordBytes, memory.Gradients+memory.Inputs+memory.Arena; got != want {
				t.Fatalf("%d bytes were allocated, %d predicted", got, want)
			}
		})
	}
}

// counting counts the words that are allocated and freed.
type counting struct {
	device.Backend
	words, freed int
}

func (c *counting) Free(b device.Buffer) error {
	c.freed += b.Words()
	return c.Backend.Free(b)
}

func (c *counting) Alloc(words int) (device.Buffer, error) {
	c.words += words
	return c.Backend.Alloc(words)
}

func TestWrongUseIsAnError(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	m := newClassifier(t, b)
	fresh := func() *graph.Graph { return build(t, b, graph.Options{Train: true}, m.define(samples)) }
	for name, c := range map[string]struct {
		do   func() error
		want string
	}{
		"feeding an input that does not exist": {func() error { return fresh().Feed("image", []float32{1}) }, "no such input"},
		"feeding floats to an integer input":   {func() error { return fresh().Feed("ids", make([]float32, samples*tokens)) }, "int32"},
		"feeding too few elements":             {func() error { return fresh().Feed("ids", make([]int32, 3)) }, "3 elements"},
		"reading an output that does not exist": {func() error {
			_, err := fresh().Read("accuracy")
			return err
		}, "no such output"},
		"running before compiling": {func() error { return graph.New(b, graph.Options{}).Run() }, "not compiled"},
		"running after closing": {func() error {
			g := must(graph.Build(b, graph.Options{Train: true}, m.define(samples)))
			check(t, g.Close())
			return g.Run()
		}, "closed"},
		"feeding after closing": {func() error {
			g := must(graph.Build(b, graph.Options{Train: true}, m.define(samples)))
			check(t, g.Close())
			return g.Feed("ids", make([]int32, samples*tokens))
		}, "closed"},
		"compiling twice": {func() error { return fresh().Compile(nil) }, "already"},
		"training without a loss": {func() error {
			_, err := graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
				g.Output("y", op.Scale(g, g.Input("x", device.Float32, 2), 2))
				return nil
			})
			return err
		}, "loss"},
		"a label outside the vocabulary": {func() error {
			g := fresh()
			check(t, g.Feed("labels", slices.Repeat([]int32{vocab}, samples*tokens)))
			return g.Run()
		}, "crossentropy"},
		"two inputs of one name": {func() error {
			_, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
				g.Input("x", device.Float32, 2)
				return g.Input("x", device.Float32, 2)
			})
			return err
		}, "taken"},
		"a dimension of zero": {func() error {
			_, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node { return g.Input("x", device.Float32, 2, 0) })
			return err
		}, "positive"},
		"an operand of another graph": {func() error {
			x := graph.New(b, graph.Options{}).Input("x", device.Float32, 2)
			_, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node { return op.Scale(g, x, 2) })
			return err
		}, "another graph"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestGraphRecoversAfterAFaultyBatch(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	m := newClassifier(t, b)
	g := build(t, b, graph.Options{Train: true}, m.define(samples))
	ids, labels := m.batch(9, samples)
	want, _ := m.step(t, g, ids, labels)
	check(t, g.Feed("ids", slices.Repeat([]int32{vocab}, samples*tokens)))
	if err := g.Run(); err == nil {
		t.Fatal("an id outside the vocabulary is no error")
	}
	if got, _ := m.step(t, g, ids, labels); got != want {
		t.Fatalf("loss %g after the fault, %g before", got, want)
	}
}

func TestGraphsShareParameters(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		train := build(t, b, graph.Options{Train: true}, m.define(samples))
		eval := build(t, b, graph.Options{}, m.define(samples))
		ids, labels := m.batch(9, samples)
		first, _ := m.step(t, train, ids, labels)
		for _, p := range m.params() {
			b.Axpy(p.Value, p.Grad, -0.05)
		}
		second, _ := m.step(t, eval, ids, labels)
		again, _ := m.step(t, train, ids, labels)
		if second >= first || again != second {
			t.Fatalf("loss %g, after a step %g by evaluation and %g by training", first, second, again)
		}
		if eval.Memory().Arena*2 > train.Memory().Arena {
			t.Errorf("evaluation plans %d bytes, training %d", eval.Memory().Arena, train.Memory().Arena)
		}
	})
}

func TestCloseGivesAllMemoryBack(t *testing.T) {
	b := &counting{Backend: newCPU(t, 1, device.OpaqueHeap())}
	m := newClassifier(t, b)
	g := must(graph.Build(b, graph.Options{Train: true}, m.define(samples)))
	ids, labels := m.batch(9, samples)
	m.step(t, g, ids, labels)
	held := b.words - b.freed
	check(t, g.Close())
	check(t, g.Close()) // a second time is nothing
	if got, want := int64(held-(b.words-b.freed))*device.WordBytes, g.Memory().Inputs+g.Memory().Arena; got != want {
		t.Fatalf("%d bytes were freed, the graph's own are %d", got, want)
	}
	if _, err := device.ReadFloats(b, m.w1.Grad); err != nil {
		t.Fatalf("a gradient is gone with its graph: %v", err)
	}
}

func TestFeedValueTakesAnotherGraphsOutput(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		double := func(g *graph.Graph) *graph.Node {
			g.Output("y", op.Scale(g, g.Input("x", device.Float32, 3), 2))
			return nil
		}
		one, two := build(t, b, graph.Options{}, double), build(t, b, graph.Options{}, double)
		check(t, one.Feed("x", []float32{1, 2, 3}))
		check(t, one.Run())
		check(t, two.FeedValue("x", must(one.Value("y"))))
		check(t, two.Run())
		if got := must(two.Read("y")); !slices.Equal(got, []float32{4, 8, 12}) {
			t.Fatalf("got %v", got)
		}
	})
}
