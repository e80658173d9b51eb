package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// term is one user's share of a node's gradient.
type term struct {
	slot *slot
	from *gorgonia.Node // the step that writes it; nil for the loss's own gradient
	unit bool           // the scalar 1
}

// reversePass is the state of one walk from the loss to the leaves.
type reversePass struct {
	g     *Graph
	need  map[*Node]bool
	terms map[*Node][]term
	keep  map[*Node]bool // gradients that the caller reads
	grads map[*Node]*slot
}

// reverse adds the backward steps of loss and returns the slots of the gradients that the caller asked for.
func (g *Graph) reverse(loss *Node) (map[*Node]*slot, error) {
	r := &reversePass{g: g, terms: map[*Node][]term{}, keep: map[*Node]bool{}, grads: map[*Node]*slot{}}
	for _, w := range g.wanted {
		r.keep[w.node.base] = true
	}
	r.mask()
	if !r.need[loss.base] {
		return nil, fmt.Errorf("graph: no trained parameter and no wanted gradient lies below the loss %v", loss)
	}
	seed := g.newSlot(loss.base.desc)
	seed.fixed = true
	r.terms[loss.base] = []term{{slot: seed, unit: true}}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		n := g.nodes[i]
		if !r.need[n] || len(r.terms[n]) == 0 {
			continue
		}
		t, err := r.sum(n)
		if err != nil {
			return nil, err
		}
		if r.keep[n] {
			r.grads[n] = t.slot
		}
		if n.leaf() {
			continue
		}
		if err := r.backward(n, t); err != nil {
			return nil, err
		}
	}
	for _, w := range g.wanted {
		if r.grads[w.node.base] == nil {
			return nil, fmt.Errorf("graph: the loss does not depend on %v, whose gradient is wanted as %q", w.node, w.name)
		}
	}
	return r.grads, nil
}

// mask finds the nodes whose gradient someone needs: trained parameters, wanted gradients, and what lies between them and the loss.
func (r *reversePass) mask() {
	r.need = map[*Node]bool{}
	for _, n := range r.g.nodes { // inputs come before their users
		need := r.keep[n] || n.param != nil && n.param.Trained()
		if d, ok := n.op.(Differentiable); ok {
			for i, w := range d.Wrt() {
				need = need || w && r.wants(n.in[i])
			}
		}
		r.need[n] = need
	}
}

// wants tells whether a gradient is to flow into an operand.
func (r *reversePass) wants(in *Node) bool { return !in.detached && r.need[in.base] }

// sum makes one term of all that a node's users wrote.
func (r *reversePass) sum(n *Node) (term, error) {
	ts := r.terms[n]
	if len(ts) == 1 {
		return ts[0], nil
	}
	h := &hosted{name: "sum", id: r.g.nextID(), out: n.desc, run: sumTerms}
	s := r.g.newSlot(n.desc)
	h.slots = stepSlots{out: view{s, n.desc}}
	var children []*gorgonia.Node
	for _, t := range ts {
		h.slots.in = append(h.slots.in, view{t.slot, n.desc})
		if t.from != nil {
			children = append(children, t.from)
		}
	}
	gn, err := r.g.host(h, children)
	if err != nil {
		return term{}, fmt.Errorf("graph: sum of the gradients of %v: %w", n, err)
	}
	return term{slot: s, from: gn}, nil
}

func sumTerms(c *Call) {
	c.Backend.Add(c.Out, c.In[0], c.In[1])
	for _, x := range c.In[2:] {
		c.Backend.Add(c.Out, c.Out, x)
	}
}

// backward adds the step that turns the gradient of n into those of its inputs.
func (r *reversePass) backward(n *Node, dout term) error {
	op, ok := n.op.(Differentiable)
	if !ok {
		return nil
	}
	want, add, any := make([]bool, len(n.in)), make([]bool, len(n.in)), false
	for i, w := range op.Wrt() {
		want[i] = w && r.wants(n.in[i])
		add[i] = n.in[i].base.param != nil
		any = any || want[i]
	}
	if !any {
		return nil
	}
	bp := op.Backprop(Request{In: descsOf(n.in), Out: n.desc, Want: slices.Clone(want), Add: add})
	for _, i := range bp.Through {
		if want[i] && n.in[i].base.param == nil {
			r.terms[n.in[i].base] = append(r.terms[n.in[i].base], dout)
			want[i] = false
		}
	}
	h := &hosted{name: n.hosted.name + "'", id: r.g.nextID(), run: op.Backward}
	h.call.Unit = dout.unit
	h.slots = r.places(n, bp, want)
	h.slots.dout = view{dout.slot, n.desc}
	first := -1
	for i := range want {
		if want[i] {
			first = i
			break
		}
	}
	if first < 0 {
		return nil
	}
	h.out = n.in[first].base.desc
	gn, err := r.g.host(h, backwardChildren(n, bp, dout))
	if err != nil {
		return fmt.Errorf("graph: backward of %v: %w", n, err)
	}
	for i, w := range want {
		if base := n.in[i].base; w && base.param == nil {
			r.terms[base] = append(r.terms[base], term{slot: h.slots.din[i].slot, from: gn})
		}
	}
	return nil
}

// places decides where a backward step reads and writes, and where the forward saves for it.
func (r *reversePass) places(n *Node, bp Backprop, want []bool) stepSlots {
	g := r.g
	s := stepSlots{
		in: make([]view, len(n.in)), din: make([]view, len(n.in)), add: make([]bool, len(n.in)),
		saved: g.newViews(bp.Saved), scratch: g.newViews(bp.Scratch),
	}
	n.hosted.slots.saved = s.saved
	for _, i := range bp.ReadsIn {
		s.in[i] = view{n.in[i].base.slot, n.in[i].desc}
	}
	if bp.ReadsOut {
		s.out = view{n.slot, n.desc}
	}
	for i, in := range n.in {
		if !want[i] {
			continue
		}
		over, isOver := bp.Over[i]
		switch {
		case in.base.param != nil:
			s.din[i], s.add[i] = view{g.gradSlot(in.base), in.desc}, true
		case isOver:
			s.din[i] = view{s.saved[over].slot, in.desc}
		default:
			s.din[i] = view{g.newSlot(in.desc), in.desc}
		}
	}
	return s
}

// backwardChildren are the steps and leaves that a backward step follows.
func backwardChildren(n *Node, bp Backprop, dout term) []*gorgonia.Node {
	children := []*gorgonia.Node{n.gn}
	add := func(gn *gorgonia.Node) {
		for _, c := range children {
			if c == gn {
				return
			}
		}
		children = append(children, gn)
	}
	for _, i := range bp.ReadsIn {
		add(n.in[i].base.gn)
	}
	if dout.from != nil {
		add(dout.from)
	}
	return children
}

// gradSlot is the place of a parameter's gradient, the same for all its users.
func (g *Graph) gradSlot(n *Node) *slot {
	for _, s := range g.slots {
		if s.param == n.param {
			return s
		}
	}
	s := g.newSlot(device.Desc{DType: device.Float32, Shape: n.desc.Shape})
	s.fixed, s.param = true, n.param
	return s
}
