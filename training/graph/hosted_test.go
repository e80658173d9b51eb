package graph

import (
	"testing"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
	"tempera/training/kernel"
)

func nodesOf(ns ...*Node) []*gorgonia.Node {
	var out []*gorgonia.Node
	for _, n := range ns {
		out = append(out, n.gn)
	}
	return out
}

// identity does nothing, so that only the host of operations is measured.
type identity struct{}

func (identity) Name() string                                { return "identity" }
func (identity) Infer(in []device.Desc) (device.Desc, error) { return in[0], nil }
func (identity) Forward(*Call)                               {}
func (identity) Wrt() []bool                                 { return []bool{true} }
func (identity) Backprop(Request) Backprop                   { return Backprop{ReadsIn: []int{0}} }
func (identity) Backward(*Call)                              {}

func newChain(t testing.TB, n int) *Graph {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	g, err := Build(device.NewCPU(e), Options{Train: true}, func(g *Graph) *Node {
		x := g.Input("x", device.Float32, 1)
		g.Gradient("dx", x)
		for range n {
			x = g.Apply(identity{}, x)
		}
		return x
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestStepsAllocateNothing(t *testing.T) {
	g := newChain(t, 20)
	if n := testing.AllocsPerRun(20, func() {
		g.counter = 0
		for _, h := range g.steps {
			if _, err := h.Do(); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Fatalf("%v allocations in %d steps", n, len(g.steps))
	}
}

// TestMachineAllocatesLittlePerStep bounds what gorgonia's machine itself allocates: its lists of inputs and arguments of its trace.
func TestMachineAllocatesLittlePerStep(t *testing.T) {
	run := func(g *Graph) float64 {
		return testing.AllocsPerRun(20, func() {
			if err := g.Run(); err != nil {
				t.Fatal(err)
			}
		})
	}
	short, long := newChain(t, 10), newChain(t, 110)
	perStep := (run(long) - run(short)) / float64(long.Steps()-short.Steps())
	if perStep > 6 {
		t.Fatalf("%.1f allocations per step", perStep)
	}
}

func BenchmarkStepOverhead(b *testing.B) {
	g := newChain(b, 150)
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(g.Steps()), "ns/step")
}

func TestStepsRunInThePlannedOrder(t *testing.T) {
	g := newChain(t, 5)
	g.steps[0].at, g.steps[1].at = g.steps[1].at, g.steps[0].at
	if err := g.Run(); err == nil {
		t.Fatal("a run in another order than planned is no error")
	}
}

func TestHashesStayApartWhenTheyWouldCollide(t *testing.T) {
	g := New(device.NewCPU(nil), Options{})
	x := g.Input("x", device.Float32, 2)
	y := g.Apply(identity{}, x)
	g.Output("y", y)
	// claim the hash that the operation would get first
	g.hostLeaf(x)
	g.hashes.claim(nodeHash(y.desc, y.hosted.WriteHash, nodesOf(x)))
	before := len(g.hashes)
	gn, err := g.host(y.hosted, nodesOf(x))
	if err != nil {
		t.Fatal(err)
	}
	if y.hosted.salt == 0 || len(g.hashes) != before+1 {
		t.Fatalf("salt %d, %d hashes after %d", y.hosted.salt, len(g.hashes), before)
	}
	if want := nodeHash(y.desc, y.hosted.WriteHash, nodesOf(x)); gn.Hashcode() != want {
		t.Fatalf("gorgonia's hash is %d, predicted %d", gn.Hashcode(), want)
	}
}
