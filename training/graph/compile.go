package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// Memory is what a graph uses, in bytes. Parameters and their gradients may be shared with other graphs.
type Memory struct {
	Parameters int64
	Gradients  int64
	Inputs     int64 // constants and the loss's own gradient included
	Arena      int64 // activations, their gradients, saved state and scratch, as planned
	Separate   int64 // the same without reuse
}

// Peak is everything that exists during a run.
func (m Memory) Peak() int64 { return m.Parameters + m.Gradients + m.Inputs + m.Arena }

func (m Memory) String() string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB: parameters %.1f, gradients %.1f, inputs %.1f, activations %.1f (%.1f without reuse)",
		float64(m.Peak())/mib, float64(m.Parameters)/mib, float64(m.Gradients)/mib, float64(m.Inputs)/mib, float64(m.Arena)/mib, float64(m.Separate)/mib)
}

// Memory is the prediction that Compile made. It is exact but for scratch that kernels lease for their own use.
func (g *Graph) Memory() Memory { return g.memory }

// Compile adds the reverse pass of the scalar loss (Train), plans and allocates memory and compiles gorgonia's program. An evaluation
// graph may pass nil; a loss given to it is computed like any output.
func (g *Graph) Compile(loss *Node) error {
	if g.compiled {
		return errors.New("graph: compiled already")
	}
	g.compiled = true
	if err := g.hostForwards(g.roots(loss)); err != nil {
		return err
	}
	grads, err := g.addReverse(loss)
	if err != nil {
		return err
	}
	if len(g.steps) == 0 {
		return errors.New("graph: nothing to compute")
	}
	if err := g.checkHashes(); err != nil {
		return err
	}
	g.placeScratch()
	for _, o := range g.outputs {
		o.node.base.slot.keep = true
	}
	for _, s := range grads {
		s.keep = true
	}
	if err := g.order(); err != nil {
		return err
	}
	g.live()
	arena, separate := g.layout()
	g.memory = g.predict(arena, separate)
	if limit := g.options.MemoryLimit; limit > 0 && g.memory.Peak() > limit {
		return fmt.Errorf("graph: a run needs %v; the limit is %.1f MiB: reduce the batch or the sequence length, or raise the limit",
			g.memory, float64(limit)/(1<<20))
	}
	if err := g.allocate(arena); err != nil {
		return errors.Join(err, g.Close())
	}
	g.bind(grads)
	if err := g.uploadConstants(); err != nil {
		return errors.Join(err, g.Close())
	}
	return g.start()
}

// roots are the nodes that must be computed.
func (g *Graph) roots(loss *Node) []*Node {
	var roots []*Node
	if loss != nil {
		roots = append(roots, loss)
	}
	for _, o := range g.outputs {
		roots = append(roots, o.node)
	}
	return roots
}

func (g *Graph) addReverse(loss *Node) (map[*Node]*slot, error) {
	if !g.options.Train {
		return nil, nil
	}
	if loss == nil || loss.graph != g || loss.desc.DType != device.Float32 || loss.desc.Size() != 1 {
		return nil, fmt.Errorf("graph: training needs a loss of one float32; got %v", loss)
	}
	if loss.base.leaf() {
		return nil, fmt.Errorf("graph: the loss %v is a leaf", loss)
	}
	return g.reverse(loss)
}

// placeScratch gives forwards their scratch, once it is known which of them save.
func (g *Graph) placeScratch() {
	for _, n := range g.nodes {
		if s, ok := n.op.(Scratcher); ok {
			n.hosted.slots.scratch = g.newViews(s.Scratch(ForwardRequest{In: descsOf(n.in), Out: n.desc, Saving: n.hosted.slots.saved != nil}))
		}
	}
}

func bytesOf(d device.Desc) int64 { return int64(d.Size()) * device.WordBytes }

func (g *Graph) predict(arena, separate int) Memory {
	m := Memory{Arena: int64(arena) * device.WordBytes, Separate: int64(separate) * device.WordBytes}
	ofParam := map[*slot]bool{}
	for _, n := range g.nodes {
		ofParam[n.slot] = n.param != nil
	}
	for _, s := range g.slots {
		switch {
		case !s.fixed:
		case s.param != nil:
			m.Gradients += bytesOf(s.desc)
		case ofParam[s]:
			m.Parameters += bytesOf(s.desc)
		default:
			m.Inputs += bytesOf(s.desc)
		}
	}
	return m
}

// allocate gives every slot its value.
func (g *Graph) allocate(arena int) error {
	var buffer device.Buffer
	if arena > 0 {
		b, err := g.backend.Alloc(arena)
		if err != nil {
			return fmt.Errorf("graph: allocate %v: %w", g.memory, err)
		}
		buffer = b
		g.buffers = append(g.buffers, b)
	}
	for _, n := range g.nodes {
		if n.param != nil {
			n.slot.value = n.param.Value
		}
	}
	for _, s := range g.slots {
		switch {
		case s.value != nil:
		case s.param != nil:
			if err := s.param.ensureGrad(g.backend); err != nil {
				return err
			}
			s.value = s.param.Grad
		case s.fixed:
			if err := g.allocateFixed(s); err != nil {
				return err
			}
		case s.from <= s.to:
			s.value = device.NewValue(s.desc, buffer, s.offset)
		}
	}
	return nil
}

func (g *Graph) allocateFixed(s *slot) error {
	v, err := device.New(g.backend, s.desc)
	if err != nil {
		return fmt.Errorf("graph: %w", err)
	}
	g.buffers = append(g.buffers, v.Buffer())
	s.value = v
	return nil
}

func values(vs []view) []*device.Value {
	if vs == nil {
		return nil
	}
	out := make([]*device.Value, len(vs))
	for i, v := range vs {
		out[i] = v.value()
	}
	return out
}

// bind fills the calls of all steps and the leaves of gorgonia's graph.
func (g *Graph) bind(grads map[*Node]*slot) {
	for _, h := range g.steps {
		unit := h.call.Unit
		h.call = Call{
			Backend: g.backend, In: values(h.slots.in), Out: h.slots.out.value(), Saved: values(h.slots.saved), Scratch: values(h.slots.scratch),
			DOut: h.slots.dout.value(), Unit: unit, DIn: values(h.slots.din), Add: h.slots.add,
		}
		h.result = h.call.Out
		for _, v := range h.call.DIn {
			if v != nil {
				h.result = v
				break
			}
		}
	}
	for _, n := range g.nodes {
		if n.gn != nil && n.leaf() {
			gorgonia.WithValue(n.slot.value)(n.gn)
		}
	}
	for _, o := range g.outputs {
		g.reads[o.name] = view{o.node.base.slot, o.node.desc}.value()
	}
	for _, w := range g.wanted {
		g.reads[w.name] = view{grads[w.node.base], w.node.desc}.value()
	}
}

// uploadConstants writes constants and the loss's gradient, which is 1.
func (g *Graph) uploadConstants() error {
	for _, n := range g.nodes {
		if n.ints != nil {
			if err := g.backend.UploadInts(n.slot.value, n.ints); err != nil {
				return fmt.Errorf("graph: write %v: %w", n, err)
			}
		}
	}
	for _, h := range g.steps {
		if h.call.Unit {
			if err := g.backend.UploadFloats(h.call.DOut, []float32{1}); err != nil {
				return fmt.Errorf("graph: write the gradient of the loss: %w", err)
			}
		}
	}
	return nil
}

// start compiles gorgonia's program.
func (g *Graph) start() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("graph: gorgonia: %v", r)
		}
	}()
	g.machine = gorgonia.NewTapeMachine(g.expr)
	return nil
}
