package graph

import (
	"fmt"

	"tempera/training/device"
)

// HasInput tells whether the graph has an input of that name.
func (g *Graph) HasInput(name string) bool { return g.inputs[name] != nil }

// Feed copies data, a []float32 or []int32 as the input demands, to an input. Its length must be the input's size.
func (g *Graph) Feed(name string, data any) error {
	n := g.inputs[name]
	if n == nil {
		return fmt.Errorf("graph: feed %s: no such input", name)
	}
	if err := g.prepare(); err != nil {
		return fmt.Errorf("graph: feed %s: %w", name, err)
	}
	length := -1
	switch d := data.(type) {
	case []float32:
		if n.desc.DType.Float() {
			length = len(d)
		}
		if length == n.desc.Size() {
			return g.backend.UploadFloats(n.slot.value, d)
		}
	case []int32:
		if n.desc.DType == device.Int32 {
			length = len(d)
		}
		if length == n.desc.Size() {
			return g.backend.UploadInts(n.slot.value, d)
		}
	}
	if length < 0 {
		return fmt.Errorf("graph: feed %s: got %T, the input is %v", name, data, n.desc)
	}
	return fmt.Errorf("graph: feed %s: got %d elements, the input is %v", name, length, n.desc)
}

// FeedValue copies a tensor of the same backend, such as another graph's output, to an input. Of two float types the input has the nearest numbers.
func (g *Graph) FeedValue(name string, v *device.Value) error {
	n := g.inputs[name]
	if n == nil {
		return fmt.Errorf("graph: feed %s: no such input", name)
	}
	if err := g.prepare(); err != nil {
		return fmt.Errorf("graph: feed %s: %w", name, err)
	}
	if d := v.Desc(); d.DType.Float() != n.desc.DType.Float() || d.Size() != n.desc.Size() {
		return fmt.Errorf("graph: feed %s: got %v, the input is %v", name, v, n.desc)
	}
	g.backend.Copy(n.slot.value, v)
	return nil
}

// Run asks for all outputs and, in a training graph, for adding the gradients to those of the parameters. After an error outputs and gradients are
// undefined; the graph can run again. A device may still be at work when it returns: its faults are errors of what reads a result.
func (g *Graph) Run() error {
	if err := g.prepare(); err != nil {
		return fmt.Errorf("graph: run: %w", err)
	}
	if !g.arena.running.TryLock() {
		return errBusy
	}
	defer g.arena.running.Unlock()
	g.arena.holds = g
	if err := g.perform(); err != nil {
		return fmt.Errorf("graph: run: %w", err)
	}
	return nil
}

// Steps is the number of operations of a run, backward and sums included.
func (g *Graph) Steps() int { return len(g.steps) }

// Value is an output's tensor on the device. The next run, of any graph that shares the arena, overwrites it.
func (g *Graph) Value(name string) (*device.Value, error) {
	if _, ok := g.reads[name]; !ok {
		return nil, fmt.Errorf("graph: read %s: no such output, or the graph is closed", name)
	}
	if g.arena.holds != g {
		return nil, fmt.Errorf("graph: read %s: the graph has not run, or another one that shares its memory has since", name)
	}
	return g.reads[name], nil
}

// Read copies an output of floats or a wanted gradient to the host.
func (g *Graph) Read(name string) ([]float32, error) {
	v, err := g.Value(name)
	if err != nil {
		return nil, err
	}
	if !v.Desc().DType.Float() {
		return nil, fmt.Errorf("graph: read %s: it is %v: use ReadInts", name, v)
	}
	return device.ReadFloats(g.backend, v)
}

// ReadInts copies an int32 output to the host.
func (g *Graph) ReadInts(name string) ([]int32, error) {
	v, err := g.Value(name)
	if err != nil {
		return nil, err
	}
	if v.Desc().DType != device.Int32 {
		return nil, fmt.Errorf("graph: read %s: it is %v: use Read", name, v)
	}
	return device.ReadInts(g.backend, v)
}
