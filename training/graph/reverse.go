package graph

import (
	"errors"
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

	users  map[*Node]int  // operands that a node is, and outputs
	shares map[*slot]int  // terms, not yet summed, that a slot is
	kept   map[*slot]bool // slots of gradients that the caller reads

	reached map[*Node]bool // nodes that will have a gradient
	again   map[*Node]*again
	blocks  map[*block]bool // that are computed again already
}

// reverse adds the backward steps of loss, nil where there are seeds only, and returns the slots of the gradients that the caller asked for.
func (g *Graph) reverse(loss *Node) (map[*Node]*slot, error) {
	r := &reversePass{
		g: g, terms: map[*Node][]term{}, keep: map[*Node]bool{}, grads: map[*Node]*slot{},
		users: map[*Node]int{}, shares: map[*slot]int{}, kept: map[*slot]bool{},
		reached: map[*Node]bool{}, again: map[*Node]*again{}, blocks: map[*block]bool{},
	}
	for _, w := range g.wanted {
		r.keep[w.node.base] = true
	}
	r.mask()
	if err := r.begin(loss); err != nil {
		return nil, err
	}
	r.reach()
	for i := len(g.nodes) - 1; i >= 0; i-- {
		if n := g.nodes[i]; r.reached[n] {
			if err := r.visit(n); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range g.wanted {
		if r.grads[w.node.base] == nil {
			return nil, fmt.Errorf("graph: the loss does not depend on %v, whose gradient is wanted as %q", w.node, w.name)
		}
	}
	return r.grads, nil
}

// begin gives the loss and the seeded nodes their gradients.
func (r *reversePass) begin(loss *Node) error {
	seeded := false
	for _, s := range r.g.seeds {
		if base := s.node.base; r.need[base] {
			r.give(base, term{slot: s.gradient.slot})
			seeded = true
		}
		if loss != nil && s.node.base == loss.base {
			loss = nil
		}
	}
	if loss != nil && r.need[loss.base] {
		one := r.g.newSlot(loss.base.desc)
		one.fixed = true
		r.give(loss.base, term{slot: one, unit: true})
		seeded = true
	}
	if !seeded {
		return errors.New("graph: no trained parameter and no wanted gradient lies below the loss")
	}
	return nil
}

// reach finds the nodes that gradients will flow into.
func (r *reversePass) reach() {
	for n := range r.terms {
		r.reached[n] = true
	}
	for i := len(r.g.nodes) - 1; i >= 0; i-- {
		n := r.g.nodes[i]
		if !r.reached[n] {
			continue
		}
		for k, w := range r.want(n) {
			r.reached[n.in[k].base] = r.reached[n.in[k].base] || w
		}
	}
}

// visit sums the gradient of a node and passes it on to the node's inputs.
func (r *reversePass) visit(n *Node) error {
	if len(r.terms[n]) == 0 { // a parameter's gradient is in its place already
		return nil
	}
	t, err := r.sum(n)
	if err != nil {
		return err
	}
	if r.keep[n] {
		r.grads[n] = t.slot
		r.kept[t.slot] = true
	}
	if n.leaf() {
		return nil
	}
	return r.backward(n, t)
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
		r.need[n] = r.keep[n] || n.param != nil && n.param.Trained() || slices.Contains(r.want(n), true)
	}
}

// want tells for each operand of a node whether a gradient is to flow into it.
func (r *reversePass) want(n *Node) []bool {
	want := make([]bool, len(n.in))
	if d, ok := n.op.(Differentiable); ok {
		for i, w := range d.Wrt() {
			want[i] = w && !n.in[i].detached && r.need[n.in[i].base]
		}
	}
	return want
}

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
	return term{slot: s, from: gn}, nil
}

func sumTerms(c *Call) {
	c.Backend.Add(c.Out, c.In[0], c.In[1])
	for _, x := range c.In[2:] {
		c.Backend.Add(c.Out, c.Out, x)
	}
}
