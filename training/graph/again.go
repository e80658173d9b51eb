package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// again is the second computation of a node of a block.
type again struct {
	slot  *slot
	saved []view // for the backward; nil where there is none
	gn    *gorgonia.Node
}

// valueOf finds where a step of a block reads a node's value in the reverse pass.
func (r *reversePass) valueOf(n *Node, by *block) (*slot, *gorgonia.Node) {
	if a := r.again[n]; a != nil && n.block == by {
		return a.slot, a.gn
	}
	return n.slot, n.gn
}

// computeAgain adds second computations of what the backwards of a block read: values of its nodes and what their forwards save. Values that come
// from outside are read where they are. It is called before the first backward of the block is added, so the steps run then.
func (r *reversePass) computeAgain(b *block) error {
	if r.blocks[b] {
		return nil
	}
	r.blocks[b] = true
	wanted := r.neededAgain(b)
	for _, n := range r.g.nodes {
		if !wanted[n] {
			continue
		}
		if err := r.repeat(n); err != nil {
			return fmt.Errorf("graph: block %s: %v once more: %w", b.name, n, err)
		}
	}
	return nil
}

// repeats tells whether a node is computed again where its backward or that of others reads what it makes.
func (g *Graph) repeats(n *Node) bool {
	_, light := n.op.(Light)
	return n.block != nil && (g.options.Checkpoint || g.options.Light && light)
}

// neededAgain finds the nodes of a block that must be computed once more.
func (r *reversePass) neededAgain(b *block) map[*Node]bool {
	wanted := map[*Node]bool{}
	want := func(n *Node) { wanted[n] = wanted[n] || n.block == b && r.g.repeats(n) }
	for i := len(r.g.nodes) - 1; i >= 0; i-- { // users come before their inputs
		n := r.g.nodes[i]
		if n.block != b {
			continue
		}
		if r.differentiated(n) {
			bp := r.request(n)
			for _, i := range bp.ReadsIn {
				want(n.in[i].base)
			}
			if bp.ReadsOut || len(bp.Saved) > 0 {
				want(n)
			}
		}
		if wanted[n] {
			for _, in := range n.in {
				want(in.base)
			}
		}
	}
	return wanted
}

// differentiated tells whether a node will have a backward.
func (r *reversePass) differentiated(n *Node) bool {
	if !r.reached[n] {
		return false
	}
	for _, w := range r.want(n) {
		if w {
			return true
		}
	}
	return false
}

// repeat adds the second computation of a node, which saves what the backward reads.
func (r *reversePass) repeat(n *Node) error {
	a := &again{slot: r.g.newSlot(n.desc)}
	h := &hosted{name: n.hosted.name + "+", id: r.g.nextID(), out: n.desc, run: n.op.Forward, waits: waits(n.op)}
	h.slots = stepSlots{out: view{a.slot, n.desc}}
	children := follow(nil, n.gn)
	for _, in := range n.in {
		s, gn := r.valueOf(in.base, n.block)
		h.slots.in = append(h.slots.in, view{s, in.desc})
		children = follow(children, gn)
	}
	if r.differentiated(n) {
		a.saved = r.savePlaces(n, r.request(n), func(in *Node) *slot {
			if a := r.again[in]; a != nil && in.block == n.block {
				return a.slot
			}
			return nil // a value from outside the block is read by others
		})
		h.slots.saved = a.saved
	}
	r.g.giveScratch(n, h)
	gn, err := r.g.host(h, children)
	if err != nil {
		return err
	}
	a.gn = gn
	r.again[n] = a
	return nil
}
