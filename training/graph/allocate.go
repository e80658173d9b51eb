package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// prepare allocates memory and compiles gorgonia's program, once.
func (g *Graph) prepare() error {
	switch g.state {
	case ready:
		return nil
	case defining:
		return errors.New("the graph is not compiled")
	case closed:
		return errors.New("the graph is closed")
	case compiled:
	}
	if err := g.arena.reserve(); err != nil {
		return err
	}
	if err := g.allocate(); err != nil {
		return errors.Join(err, g.Close())
	}
	g.place()
	g.bind()
	g.bindLeaves()
	if err := g.uploadConstants(); err != nil {
		return errors.Join(err, g.Close())
	}
	if err := g.start(); err != nil {
		return errors.Join(err, g.Close())
	}
	g.state = ready
	return nil
}

// allocate gives every slot outside the arena its value.
func (g *Graph) allocate() error {
	for _, n := range g.nodes {
		if n.param != nil {
			n.slot.value = n.param.Value
		}
	}
	for _, s := range g.slots {
		switch {
		case s.value != nil || !s.fixed:
		case s.param != nil:
			if err := s.param.ensureGrad(g.backend); err != nil {
				return err
			}
			s.value = s.param.Grad
		default:
			v, err := device.New(g.backend, s.desc)
			if err != nil {
				return fmt.Errorf("graph: %w", err)
			}
			g.buffers = append(g.buffers, v.Buffer())
			s.value = v
		}
	}
	return nil
}

// place gives every slot of the arena its value.
func (g *Graph) place() {
	for _, s := range g.slots {
		if !s.fixed && s.from <= s.to {
			s.value = device.NewValue(s.desc, g.arena.buffer, s.offset)
		}
	}
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

// bind fills the calls of all steps and finds the values of outputs.
func (g *Graph) bind() {
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
	for _, o := range g.outputs {
		g.reads[o.name] = view{o.node.base.slot, o.node.desc}.value()
	}
	for _, w := range g.wanted {
		g.reads[w.name] = view{g.grads[w.node.base], w.node.desc}.value()
	}
}

// bindLeaves gives the leaves of gorgonia's graph their values, which never move.
func (g *Graph) bindLeaves() {
	for _, n := range g.nodes {
		if n.gn != nil && n.leaf() {
			gorgonia.WithValue(n.slot.value)(n.gn)
		}
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

// Close frees the graph's memory. Parameters and their gradients stay.
func (g *Graph) Close() error {
	if g.state == closed {
		return nil
	}
	var errs []error
	if g.machine != nil {
		errs = append(errs, g.machine.Close())
		g.machine = nil
	}
	errs = append(errs, g.forget(), g.arena.leave(g))
	for _, b := range g.buffers {
		errs = append(errs, g.backend.Free(b))
	}
	g.buffers = nil
	clear(g.reads)
	for _, h := range g.steps { // nodes that a caller keeps must not keep memory
		h.call, h.result = Call{}, nil
	}
	for _, s := range g.slots {
		s.value = nil
	}
	g.expr, g.state = nil, closed
	return errors.Join(errs...)
}
