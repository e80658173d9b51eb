package graph

import (
	"errors"
	"fmt"

	"tempera/training/device"
)

// Compile adds the reverse pass of the scalar loss (Train) and plans the memory. Nothing is allocated before the graph is fed, run or read, so
// a graph that is compiled tells by Memory what it would need. An evaluation graph may pass nil; a loss given to it is
// computed like any output.
func (g *Graph) Compile(loss *Node) error {
	if g.state != defining {
		return errors.New("graph: compiled already")
	}
	g.state = compiled
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
	g.grads = grads
	if err := g.checkOrder(); err != nil {
		return err
	}
	g.live()
	arena, separate := g.layout()
	g.need = arena
	g.memory = Memory{Arena: int64(arena) * device.WordBytes, Separate: int64(separate) * device.WordBytes}
	g.arena.join(g)
	return nil
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
	for _, s := range g.seeds {
		roots = append(roots, s.node)
	}
	return roots
}

func (g *Graph) addReverse(loss *Node) (map[*Node]*slot, error) {
	if !g.options.Train {
		return nil, nil
	}
	if loss == nil && len(g.seeds) > 0 {
		return g.reverse(nil)
	}
	if loss == nil || loss.graph != g || !loss.desc.DType.Float() || loss.desc.Size() != 1 {
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
		if !n.leaf() {
			g.giveScratch(n, n.hosted)
		}
	}
}

// giveScratch gives a forward of n its scratch.
func (g *Graph) giveScratch(n *Node, h *hosted) {
	if s, ok := n.op.(Scratcher); ok {
		h.slots.scratch = g.newViews(s.Scratch(ForwardRequest{In: descsOf(n.in), Out: n.desc, Saving: h.slots.saved != nil}))
	}
}
