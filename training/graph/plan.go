package graph

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// slot is the memory of one tensor. Slots of inputs, parameters and their gradients are fixed; the others live in the arena from the
// first step that uses them to the last.
type slot struct {
	desc     device.Desc
	fixed    bool
	keep     bool // an output: lives to the end
	from, to int  // first and last step; from > to where no step uses it
	offset   int  // in the arena, in words
	value    *device.Value
	param    *Param // of a parameter's gradient: resolved when memory is allocated
}

// view is a slot under a shape.
type view struct {
	slot *slot
	desc device.Desc
}

func (v view) value() *device.Value {
	if v.slot == nil {
		return nil
	}
	if slices.Equal(v.slot.desc.Shape, v.desc.Shape) {
		return v.slot.value
	}
	return v.slot.value.View(v.desc)
}

// stepSlots are the places that a step uses. A zero view is a nil value.
type stepSlots struct {
	in      []view
	out     view
	saved   []view
	scratch []view
	dout    view
	din     []view
	add     []bool
}

func (s *stepSlots) all() []*slot {
	var out []*slot
	for _, vs := range [][]view{s.in, {s.out, s.dout}, s.saved, s.scratch, s.din} {
		for _, v := range vs {
			if v.slot != nil {
				out = append(out, v.slot)
			}
		}
	}
	return out
}

func (g *Graph) newSlot(d device.Desc) *slot {
	s := &slot{desc: d}
	g.slots = append(g.slots, s)
	return s
}

func (g *Graph) newViews(ds []device.Desc) []view {
	vs := make([]view, len(ds))
	for i, d := range ds {
		vs[i] = view{g.newSlot(d), d}
	}
	return vs
}

func viewsOf(ns []*Node) []view {
	vs := make([]view, len(ns))
	for i, n := range ns {
		vs[i] = view{n.base.slot, n.desc}
	}
	return vs
}

// checkOrder makes sure that the TapeMachine will run the steps in the order of their definition: it compiles the reverse of Sort, which is stable.
func (g *Graph) checkOrder() error {
	sorted, err := gorgonia.Sort(g.expr)
	if err != nil {
		return fmt.Errorf("graph: order: %w", err)
	}
	at := 0
	for _, n := range slices.Backward(sorted) {
		h, ok := n.Op().(*hosted)
		if !ok {
			continue
		}
		if at == len(g.steps) || g.steps[at] != h {
			return fmt.Errorf("graph: gorgonia runs %v as step %d, it was defined as step %d", h, at, h.at)
		}
		at++
	}
	if at != len(g.steps) {
		return fmt.Errorf("graph: %d steps were defined, gorgonia orders %d", len(g.steps), at)
	}
	return nil
}

// live computes the live range of every slot.
func (g *Graph) live() {
	for _, s := range g.slots {
		s.from, s.to = len(g.steps), -1
	}
	for i, h := range g.steps {
		for _, s := range h.slots.all() {
			s.from, s.to = min(s.from, i), max(s.to, i)
		}
	}
	for _, s := range g.slots {
		if s.keep {
			s.to = len(g.steps)
		}
	}
}

// alignWords keeps every tensor on a cache line of its own and loads of whole vectors aligned.
const alignWords = 16

func roundUp(n int) int { return (n + alignWords - 1) &^ (alignWords - 1) }

// layout places all slots that are not fixed and returns the words of the arena, and what they would be without reuse.
// The largest go first, each to the lowest place that is free during its whole life.
func (g *Graph) layout() (arena, separate int) {
	var todo []*slot
	for _, s := range g.slots {
		if !s.fixed && s.from <= s.to {
			todo = append(todo, s)
			separate += roundUp(s.desc.Words())
		}
	}
	if g.options.NoReuse {
		for _, s := range todo {
			s.offset = arena
			arena += roundUp(s.desc.Words())
		}
		return arena, separate
	}
	slices.SortStableFunc(todo, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(b.desc.Words(), a.desc.Words()), cmp.Compare(a.from, b.from))
	})
	placed := make([]*slot, 0, len(todo)) // by offset
	for _, s := range todo {
		size := roundUp(s.desc.Words())
		s.offset = 0
		for _, p := range placed {
			if p.from > s.to || s.from > p.to {
				continue
			}
			if s.offset+size <= p.offset {
				break
			}
			s.offset = max(s.offset, p.offset+roundUp(p.desc.Words()))
		}
		arena = max(arena, s.offset+size)
		at, _ := slices.BinarySearchFunc(placed, s, func(p, s *slot) int { return cmp.Compare(p.offset, s.offset) })
		placed = slices.Insert(placed, at, s)
	}
	return arena, separate
}
