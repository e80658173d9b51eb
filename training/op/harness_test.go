package op_test

import (
	"maps"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/kernel"
)

// dot is the inner product of an output and a seed of any shape and equal size: it makes a scalar whose gradient is the seed.
type dot struct{}

func (dot) Name() string                                { return "dot" }
func (dot) Infer(in []device.Desc) (device.Desc, error) { return device.Floats(), nil }
func (dot) Scratch(graph.ForwardRequest) []device.Desc {
	return []device.Desc{device.Floats()}
}
func (dot) Wrt() []bool { return []bool{true, false} }

func (dot) Forward(c *graph.Call) {
	c.Backend.Zero(c.Out)
	c.Backend.ScaleByBackward(device.ScaleByBackwardArgs{Factor: device.Times, X: c.In[0], S: c.Scratch[0], DY: c.In[1], DS: c.Out})
}

func (dot) Backprop(graph.Request) graph.Backprop { return graph.Backprop{ReadsIn: []int{1}} }

func (dot) Backward(c *graph.Call) {
	c.Backend.ScaleBy(device.ScaleByArgs{X: c.In[1], S: c.DOut, Y: c.DIn[0], Accumulate: c.Add[0]})
}

// testedBackends are the backends on which every operation must compute alike; a further device joins here.
func testedBackends(t *testing.T) map[string]device.Backend {
	return map[string]device.Backend{
		"on the host heap":                       newCPU(t, device.HostHeap()),
		"on memory that the host cannot address": newCPU(t, device.OpaqueHeap()),
		"in float64":                             reference.New(),
	}
}

func onBackends(t *testing.T, test func(t *testing.T, b device.Backend)) {
	backends := testedBackends(t)
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		t.Run(name, func(t *testing.T) { test(t, backends[name]) })
	}
}

func newCPU(t testing.TB, heap device.Heap) *device.CPU {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	check(t, err)
	t.Cleanup(e.Close)
	return device.NewCPUOn(e, heap)
}

func param[T any](t *testing.T, c *golden.Case, name string) T {
	t.Helper()
	v, err := golden.Param[T](c, name)
	check(t, err)
	return v
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
