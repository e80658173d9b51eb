package op_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/op"
)

// gpt is a decoder with learnt positions and a tied head.
type gpt struct {
	batch, tokens, width, heads, vocab, layers int

	backend device.Backend
	params  []*graph.Param
}

func (m *gpt) init(b device.Backend) *gpt {
	m.backend = b
	m.addParam(m.vocab, m.width)
	m.addParam(m.tokens, m.width)
	for range m.layers {
		for _, shape := range [][]int{
			{m.width},
			{m.width},
			{m.width, 3 * m.width},
			{3 * m.width},
			{m.width, m.width},
			{m.width},
			{m.width},
			{m.width},
			{m.width, 4 * m.width},
			{4 * m.width},
			{4 * m.width, m.width},
			{m.width},
		} {
			m.addParam(shape...)
		}
	}
	m.addParam(m.width)
	m.addParam(m.width)
	return m
}

func (m *gpt) addParam(shape ...int) {
	data := noise(uint64(len(m.params)), device.Floats(shape...).Size())
	for i := range data {
		data[i] *= 0.05
	}
	name := fmt.Sprintf("w%d", len(m.params))
	m.params = append(m.params, &graph.Param{Name: name, Value: must(device.FromFloats(m.backend, data, shape...))})
}

func (m *gpt) define(g *graph.Graph) *graph.Node {
	rest := m.params
	next := func() *graph.Node {
		p := rest[0]
		rest = rest[1:]
		return g.Param(p)
	}
	ids, labels := g.Input("ids", device.Int32, m.batch, m.tokens), g.Input("labels", device.Int32, m.batch, m.tokens)
	table := next()
	x := op.AddPosition(g, op.Embedding(g, ids, table), next())
	for range m.layers {
		h := op.LayerNorm(g, x, next(), next(), 0)
		h = op.Linear(g, h, next(), next(), op.LinearOptions{})
		h = op.SelfAttention(g, h, op.AttentionOptions{Heads: m.heads, Causal: true})
		x = op.Linear(g, h, next(), next(), op.LinearOptions{Residual: x})
		h = op.LayerNorm(g, x, next(), next(), 0)
		h = op.Linear(g, h, next(), next(), op.LinearOptions{Activation: device.GELUTanh})
		x = op.Linear(g, h, next(), next(), op.LinearOptions{Residual: x})
	}
	x = op.LayerNorm(g, x, next(), next(), 0)
	loss := op.CrossEntropy(g, op.Linear(g, x, table, nil, op.LinearOptions{Transposed: true}), labels, op.CrossEntropyOptions{})
	g.Output("loss", loss)
	return loss
}

func (m *gpt) feed(t testing.TB, g *graph.Graph) {
	ids := make([]int32, m.batch*m.tokens)
	for i := range ids {
		ids[i] = int32(i * i % m.vocab)
	}
	check(t, g.Feed("ids", ids))
	check(t, g.Feed("labels", append(slices.Clone(ids[1:]), device.IgnoreIndex)))
}

func engine(t testing.TB, threads int) *kernel.Engine {
	e, err := kernel.New(kernel.Options{Threads: threads})
	check(t, err)
	t.Cleanup(e.Close)
	return e
}

func TestGPTStepIsTheSameToTheBitForAnyNumberOfThreads(t *testing.T) {
	step := func(threads int) (loss []float32, grads [][]float32) {
		b := device.NewCPU(engine(t, threads))
		m := (&gpt{batch: 8, tokens: 48, width: 64, heads: 4, vocab: 300, layers: 2}).init(b)
		g := must(graph.Build(b, graph.Options{Train: true}, m.define))
		defer func() { check(t, g.Close()) }()
		m.feed(t, g)
		check(t, g.Run())
		for _, p := range m.params {
			grads = append(grads, must(device.ReadFloats(b, p.Grad)))
		}
		return must(g.Read("loss")), grads
	}
	loss, grads := step(1)
	for _, threads := range []int{2, 3} {
		gotLoss, gotGrads := step(threads)
		if !slices.Equal(gotLoss, loss) {
			t.Errorf("%d threads: loss %v, one thread %v", threads, gotLoss, loss)
		}
		for i, got := range gotGrads {
			if !slices.Equal(got, grads[i]) {
				t.Errorf("%d threads: gradient %d differs", threads, i)
			}
		}
	}
}

func TestGraphsOfOneBackendRunAtTheSameTime(t *testing.T) {
	b := device.NewCPU(engine(t, 2))
	m := (&gpt{batch: 2, tokens: 16, width: 32, heads: 2, vocab: 50, layers: 1}).init(b)
	var want float32
	graphs := make([]*graph.Graph, 3)
	for i := range graphs {
		graphs[i] = must(graph.Build(b, graph.Options{}, m.define))
		m.feed(t, graphs[i])
		check(t, graphs[i].Run())
		want = must(graphs[i].Read("loss"))[0]
	}
	errs := make([]error, len(graphs))
	var wait sync.WaitGroup
	for i, g := range graphs {
		wait.Go(func() {
			for range 10 {
				if err := g.Run(); err != nil {
					errs[i] = err
					return
				}
				if got := must(g.Read("loss"))[0]; got != want {
					errs[i] = fmt.Errorf("loss %g, alone %g", got, want)
					return
				}
			}
		})
	}
	wait.Wait()
	for i, err := range errs {
		check(t, err)
		check(t, graphs[i].Close())
	}
}

// BenchmarkGPTStep is one forward and backward on 8 x 128 tokens, one thread.
func BenchmarkGPTStep(b *testing.B) {
	backend := device.NewCPU(engine(b, 1))
	m := (&gpt{batch: 8, tokens: 128, width: 256, heads: 4, vocab: 512, layers: 4}).init(backend)
	g := must(graph.Build(backend, graph.Options{Train: true}, m.define))
	defer func() { check(b, g.Close()) }()
	m.feed(b, g)
	b.Logf("%d steps, %v", g.Steps(), g.Memory())
	b.ReportAllocs()
	for b.Loop() {
		check(b, g.Run())
	}
}
