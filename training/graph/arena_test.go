package graph_test

import (
	"slices"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

func TestGraphsOfSeveralSizesShareOneArena(t *testing.T) {
	backends(t, func(t *testing.T, inner device.Backend) {
		b := &counting{Backend: inner}
		m := newClassifier(t, b)
		alone := map[int]result{}
		for _, n := range []int{1, 2, 4} {
			alone[n] = m.on(t, b, graph.Options{Train: true}, n)
		}
		arena := graph.NewArena(b)
		shared := map[int]*graph.Graph{}
		before, most := b.words, int64(0)
		for _, n := range []int{2, 4, 1} {
			shared[n] = build(t, b, graph.Options{Train: true, Arena: arena}, m.define(n))
			most = max(most, shared[n].Memory().Arena)
		}
		for range 2 {
			for n, g := range shared {
				same(t, m.run(t, g, n), alone[n])
			}
		}
		together := graph.Together(shared[1], shared[2], shared[4])
		if got, want := int64(b.words-before)*device.WordBytes, together.Inputs+most; got != want {
			t.Errorf("%d bytes were allocated, the inputs and the largest graph need %d", got, want)
		}
		if together.Arena != most || together.Parameters != shared[1].Memory().Parameters || together.Gradients != shared[1].Memory().Gradients {
			t.Errorf("together %v", together)
		}
	})
}

// on builds a graph for n samples and runs it.
func (m *classifier) on(t *testing.T, b device.Backend, o graph.Options, n int) result {
	t.Helper()
	return m.run(t, build(t, b, o, m.define(n)), n)
}

func (m *classifier) run(t *testing.T, g *graph.Graph, n int) result {
	t.Helper()
	ids, labels := m.batch(9, n)
	loss, grads := m.step(t, g, ids, labels)
	return result{loss, grads, g.Memory(), g.Steps()}
}

func TestAnArenaGrowsWhenALargerGraphJoins(t *testing.T) {
	backends(t, func(t *testing.T, inner device.Backend) {
		b := &counting{Backend: inner}
		m := newClassifier(t, b)
		want := m.on(t, b, graph.Options{Train: true}, 1)
		arena := graph.NewArena(b)
		small := must(graph.Build(b, graph.Options{Train: true, Arena: arena}, m.define(1)))
		same(t, m.run(t, small, 1), want)
		large := must(graph.Build(b, graph.Options{Train: true, Arena: arena}, m.define(5)))
		m.run(t, large, 5)
		if _, err := small.Read("loss"); err == nil || !strings.Contains(err.Error(), "shares its memory") {
			t.Errorf("reading what another graph has overwritten: error %v", err)
		}
		same(t, m.run(t, small, 1), want)
		check(t, large.Close())
		same(t, m.run(t, small, 1), want)
		held := b.words - b.freed
		check(t, small.Close())
		if freed := int64(held-(b.words-b.freed)) * device.WordBytes; freed < large.Memory().Arena {
			t.Errorf("the last graph freed %d bytes, the arena has %d", freed, large.Memory().Arena)
		}
	})
}

// TestModelsShareOneArena has a frozen reference beside a policy that is trained towards it.
func TestModelsShareOneArena(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	policy, reference := newClassifier(t, b), newClassifier(t, b)
	arena := graph.NewArena(b)
	train := build(t, b, graph.Options{Train: true, Arena: arena}, policy.define(samples))
	judge := build(t, b, graph.Options{Arena: arena}, reference.define(samples))
	want := policy.on(t, b, graph.Options{Train: true}, samples)
	judged := reference.on(t, b, graph.Options{}, samples)
	for range 2 {
		same(t, reference.run(t, judge, samples), judged)
		same(t, policy.run(t, train, samples), want)
	}
	if reference.w1.Grad != nil {
		t.Error("the reference has gradients")
	}
}

func TestASharedArenaRunsOneGraphAtATime(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	arena := graph.NewArena(b)
	inside := build(t, b, graph.Options{Arena: arena}, func(g *graph.Graph) *graph.Node {
		g.Output("y", op.Scale(g, g.Input("x", device.Float32, 2), 2))
		return nil
	})
	var during error
	outside := build(t, b, graph.Options{Arena: arena}, func(g *graph.Graph) *graph.Node {
		g.Output("y", g.Apply(calling{func() { during = inside.Run() }}, g.Input("x", device.Float32, 2)))
		return nil
	})
	check(t, outside.Run())
	if during == nil || !strings.Contains(during.Error(), "another graph is running") {
		t.Fatalf("a run during a run: error %v", during)
	}
}

// calling is an operation that calls a function.
type calling struct{ do func() }

func (calling) Name() string                                { return "calling" }
func (calling) Infer(in []device.Desc) (device.Desc, error) { return in[0], nil }
func (c calling) Forward(call *graph.Call) {
	c.do()
	call.Backend.Copy(call.Out, call.In[0])
}

func TestASeededLossTakesItsShare(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		whole := m.on(t, b, graph.Options{Train: true}, 2)
		ids, labels := m.batch(9, 2)
		for name, o := range map[string]graph.Options{"kept": {Train: true}, "computed again": {Train: true, Checkpoint: true}} {
			t.Run(name, func(t *testing.T) {
				half := build(t, b, o, func(g *graph.Graph) *graph.Node {
					loss := m.define(1)(g)
					g.Seed("share", loss)
					return loss
				})
				for _, p := range m.params() {
					b.Zero(p.Grad)
				}
				check(t, half.Feed("share", []float32{0.5}))
				for i := range 2 {
					check(t, half.Feed("ids", ids[i*tokens:(i+1)*tokens]))
					check(t, half.Feed("labels", labels[i*tokens:(i+1)*tokens]))
					check(t, half.Run())
				}
				for i, p := range m.params() {
					near(t, p.Name, must(device.ReadFloats(b, p.Grad)), whole.grads[i])
				}
			})
		}
	})
}

func TestSeededFeaturesTakeTheGradientsOfALossElsewhere(t *testing.T) {
	const n, c = 3, 4
	backends(t, func(t *testing.T, b device.Backend) {
		w, v := newParam(t, b, "w", 1, c, c), newParam(t, b, "v", 2, c, c)
		x := noise(3, n*c)
		features := func(g *graph.Graph) *graph.Node {
			return op.GELU(g, op.Linear(g, g.Input("x", device.Float32, n, c), g.Param(w), nil, op.LinearOptions{}))
		}
		loss := func(g *graph.Graph, y *graph.Node) *graph.Node {
			return op.CrossEntropy(g, op.Linear(g, y, g.Param(v), nil, op.LinearOptions{}), g.Ints([]int32{1, 0, 3}), op.CrossEntropyOptions{})
		}
		whole := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node { return loss(g, features(g)) })
		check(t, whole.Feed("x", x))
		check(t, whole.Run())
		want := must(device.ReadFloats(b, w.Grad))

		encoder := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
			y := features(g)
			g.Output("y", y)
			g.Seed("dy", y)
			return nil
		})
		head := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
			y := g.Input("y", device.Float32, n, c)
			g.Gradient("dy", y)
			return loss(g, y)
		})
		check(t, encoder.Feed("x", x))
		check(t, encoder.Run())
		check(t, head.FeedValue("y", must(encoder.Value("y"))))
		check(t, head.Run())
		b.Zero(w.Grad)
		check(t, encoder.FeedValue("dy", must(head.Value("dy"))))
		check(t, encoder.Run())
		if got := must(device.ReadFloats(b, w.Grad)); !slices.Equal(got, want) {
			t.Fatalf("the gradient is %v, that of one graph %v", got, want)
		}
	})
}
