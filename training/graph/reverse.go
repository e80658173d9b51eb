package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// term is one user's share of a node's gradient, or the sum of several users' shares.
type term struct {
	slot *slot
	from *gorgonia.Node // the step that wrote it last; nil for the loss's own gradient
	unit bool           // the scalar 1
}

// reversePass is the state of one walk from the loss to the leaves.
type reversePass struct {
	g     *Graph
	need  map[*Node]bool
	terms map[*Node][]term
	keep  map[*Node]bool // gradients that the caller reads
	grads map[*Node]*slot

	users   map[*Node]int              // operands that a node is, and outputs
	shares  map[*slot]int              // terms, not yet summed, that a slot is
	readers map[*slot][]*gorgonia.Node // steps that read a slot
	kept    map[*slot]bool             // slots of gradients that the caller reads
}

// reverse adds the backward steps of loss and returns the slots of the gradients that the caller asked for.
func (g *Graph) reverse(loss *Node) (map[*Node]*slot, error) {
	r := &reversePass{
		g: g, terms: map[*Node][]term{}, keep: map[*Node]bool{}, grads: map[*Node]*slot{},
		users: map[*Node]int{}, shares: map[*slot]int{}, readers: map[*slot][]*gorgonia.Node{}, kept: map[*slot]bool{},
	}
	for _, w := range g.wanted {
		r.keep[w.node.base] = true
	}
	r.mask()
	if !r.need[loss.base] {
		return nil, fmt.Errorf("graph: no trained parameter and no wanted gradient lies below the loss %v", loss)
	}
	seed := g.newSlot(loss.base.desc)
	seed.fixed = true
	r.give(loss.base, term{slot: seed, unit: true})
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
			r.kept[t.slot] = true
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

// mask finds the nodes whose gradient someone needs (trained parameters, wanted gradients, and what lies between them and the loss) and counts
// the users of each.
func (r *reversePass) mask() {
	r.need = map[*Node]bool{}
	for _, o := range r.g.outputs {
		r.users[o.node.base]++
	}
	for _, n := range r.g.nodes { // inputs come before their users
		for _, in := range n.in {
			r.users[in.base]++
		}
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

func (r *reversePass) give(n *Node, t term) {
	r.terms[n] = append(r.terms[n], t)
	r.shares[t.slot]++
}

// sum makes one term of all that a node's users wrote.
func (r *reversePass) sum(n *Node) (term, error) {
	ts := r.terms[n]
	for _, t := range ts {
		r.shares[t.slot]--
	}
	if len(ts) == 1 {
		return ts[0], nil
	}
	h := &hosted{name: "sum", id: r.g.nextID(), out: n.desc, run: sumTerms}
	s := r.g.newSlot(n.desc)
	h.slots = stepSlots{out: view{s, n.desc}}
	var children []*gorgonia.Node
	for _, t := range ts {
		h.slots.in = append(h.slots.in, view{t.slot, n.desc})
		children = follow(children, t.from)
	}
	gn, err := r.g.host(h, children)
	if err != nil {
		return term{}, fmt.Errorf("graph: sum of the gradients of %v: %w", n, err)
	}
	for _, t := range ts {
		r.readers[t.slot] = append(r.readers[t.slot], gn)
	}
	return term{slot: s, from: gn}, nil
}

// follow adds steps to the children of another, each once. Nil is no step.
func follow(children []*gorgonia.Node, steps ...*gorgonia.Node) []*gorgonia.Node {
	for _, s := range steps {
		if s != nil && !slices.Contains(children, s) {
			children = append(children, s)
		}
	}
	return children
}

func sumTerms(c *Call) {
	c.Backend.Add(c.Out, c.In[0], c.In[1])
	for _, x := range c.In[2:] {
		c.Backend.Add(c.Out, c.Out, x)
	}
}
