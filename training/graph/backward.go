package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// backwardStep is the backward of one node while it is being defined.
type backwardStep struct {
	r        *reversePass
	n        *Node
	op       Differentiable
	bp       Backprop
	want     []bool // gradients that the step itself yields
	dout     term
	children []*gorgonia.Node
	slots    stepSlots
	joined   []int // per input: the term of the input's node that the step adds to; -1: none
}

// backward adds the step that turns the gradient of n into those of its inputs.
func (r *reversePass) backward(n *Node, dout term) error {
	op, ok := n.op.(Differentiable)
	if !ok {
		return nil
	}
	b := &backwardStep{r: r, n: n, op: op, dout: dout, want: r.want(n)}
	if !slices.Contains(b.want, true) {
		return nil
	}
	if n.block != nil && (r.g.options.Checkpoint || r.g.options.Light) {
		if err := r.computeAgain(n.block); err != nil {
			return err
		}
	}
	b.plan()
	first := slices.Index(b.want, true)
	if first < 0 {
		return nil
	}
	b.readPlaces()
	for i := range n.in {
		b.writePlace(i)
	}
	h := &hosted{name: n.hosted.name + "'", id: r.g.nextID(), out: n.in[first].base.desc, run: op.Backward, slots: b.slots}
	h.call.Unit = dout.unit
	gn, err := r.g.host(h, b.children)
	if err != nil {
		return fmt.Errorf("graph: backward of %v: %w", n, err)
	}
	b.deliver(gn)
	return nil
}

// request asks an operation what its backward needs. It is the same at each call.
func (r *reversePass) request(n *Node) Backprop {
	add := make([]bool, len(n.in))
	for i, in := range n.in {
		add[i] = in.base.param != nil
	}
	return n.op.(Differentiable).Backprop(Request{In: descsOf(n.in), Out: n.desc, Want: r.want(n), Add: add})
}

// plan passes on the gradients that are dout itself.
func (b *backwardStep) plan() {
	b.bp = b.r.request(b.n)
	for _, i := range b.bp.Through {
		if in := b.n.in[i].base; b.want[i] && in.param == nil && in.desc.DType == b.n.desc.DType {
			b.r.give(in, b.dout)
			b.want[i] = false
		}
	}
}

// readPlaces decides what the step reads, and where the forward saves for it.
func (b *backwardStep) readPlaces() {
	n, g := b.n, b.r.g
	again := b.r.again[n]
	b.slots = stepSlots{
		in: make([]view, len(n.in)), din: make([]view, len(n.in)), add: make([]bool, len(n.in)),
		scratch: g.newViews(b.bp.Scratch), dout: view{b.dout.slot, n.desc},
	}
	if g.repeats(n) {
		b.slots.saved = []view{}
		if again != nil {
			b.slots.saved = again.saved
		}
	} else {
		b.slots.saved = b.r.savePlaces(n, b.bp, func(in *Node) *slot { return in.slot })
		n.hosted.slots.saved = b.slots.saved
	}
	b.children = follow(nil, n.gn)
	for _, i := range b.bp.ReadsIn {
		s, gn := b.r.valueOf(n.in[i].base, n.block)
		b.slots.in[i] = view{s, n.in[i].desc}
		b.children = follow(b.children, gn)
	}
	if b.bp.ReadsOut {
		s, gn := b.r.valueOf(n, n.block)
		b.slots.out = view{s, n.desc}
		b.children = follow(b.children, gn)
	}
	b.children = follow(b.children, b.dout.from)
}

// savePlaces are the places of what a forward of n saves: over an input's value where that is allowed. place finds it; nil: nowhere.
func (r *reversePass) savePlaces(n *Node, bp Backprop, place func(in *Node) *slot) []view {
	saved := r.g.newViews(bp.Saved)
	for k, i := range bp.SavedOver {
		if in := n.in[i].base; r.readOnce(in) {
			if s := place(in); s != nil {
				saved[k].slot = s
			}
		}
	}
	return saved
}

// readOnce tells whether the only reader of a node's value is the forward of its one user.
func (r *reversePass) readOnce(n *Node) bool {
	if n.leaf() || r.users[n] != 1 {
		return false
	}
	d, ok := n.op.(Differentiable)
	if !ok {
		return true
	}
	all := make([]bool, len(n.in))
	for i := range all {
		all[i] = true
	}
	return !d.Backprop(Request{In: descsOf(n.in), Out: n.desc, Want: all, Add: make([]bool, len(n.in))}).ReadsOut
}

// writePlace decides where the gradient of input i goes: to a parameter's gradient, over a saved state, on top of another user's term, or to a
// place of its own.
func (b *backwardStep) writePlace(i int) {
	b.joined = append(b.joined, -1)
	if !b.want[i] {
		return
	}
	in := b.n.in[i]
	if in.base.param != nil {
		b.slots.din[i], b.slots.add[i] = view{b.r.g.gradSlot(in.base), in.desc}, true
		return
	}
	if k, ok := b.bp.Over[i]; ok {
		b.slots.din[i] = view{b.slots.saved[k].slot, in.desc}
		return
	}
	if k := b.joinable(i); k >= 0 {
		t := b.r.terms[in.base][k]
		b.joined[i] = k
		b.slots.din[i], b.slots.add[i] = view{t.slot, in.desc}, true
		b.children = follow(b.children, t.from)
		return
	}
	b.slots.din[i] = view{b.r.g.newSlot(in.desc), in.desc}
}

// joinable finds a term of input i's node that the step can add to: one that is nobody else's term, that the caller does not read, and
// that the step does not read itself. Steps that have read the term came before.
func (b *backwardStep) joinable(i int) int {
	if !slices.Contains(b.bp.Accumulates, i) {
		return -1
	}
	return slices.IndexFunc(b.r.terms[b.n.in[i].base], func(t term) bool {
		return !t.slot.fixed && t.slot != b.dout.slot && b.r.shares[t.slot] == 1 && !b.r.kept[t.slot]
	})
}

// deliver records the terms that the step yields.
func (b *backwardStep) deliver(gn *gorgonia.Node) {
	for i, w := range b.want {
		base := b.n.in[i].base
		switch {
		case !w || base.param != nil:
		case b.joined[i] >= 0:
			b.r.terms[base][b.joined[i]].from = gn
		default:
			b.r.give(base, term{slot: b.slots.din[i].slot, from: gn})
		}
	}
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
