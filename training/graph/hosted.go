package graph

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"tempera/training/device"
)

// hosted is a step of the graph as gorgonia sees it: a forward, a backward, or the sum of gradient terms.
type hosted struct {
	name   string
	id     int    // unique in the graph: part of the hash
	salt   uint32 // raised until the node's hash is unique
	in     []hm.Type
	out    device.Desc
	run    func(*Call)
	waits  bool // for the device
	call   Call
	result *device.Value
	graph  *Graph
	at     int // steps of the run that come before this one
	slots  stepSlots
}

var _ gorgonia.Op = (*hosted)(nil)

// Arity and the methods below are gorgonia.Op. ReturnsPtr and CallsExtern keep the machine from allocating.
func (h *hosted) Arity() int                                            { return len(h.in) }
func (h *hosted) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return h.out.Shape, nil }
func (h *hosted) ReturnsPtr() bool                                      { return true }
func (h *hosted) CallsExtern() bool                                     { return false }
func (h *hosted) OverwritesInput() int                                  { return -1 }

func (h *hosted) String() string { return fmt.Sprintf("%s#%d", h.name, h.id) }

func (h *hosted) WriteHash(w hash.Hash) { fmt.Fprintf(w, "%s#%d.%d", h.name, h.id, h.salt) }

// Type is made anew at each call: gorgonia gives it to a pool after use.
func (h *hosted) Type() hm.Type {
	ts := make([]hm.Type, 0, len(h.in)+1)
	return hm.NewFnType(append(append(ts, h.in...), h.out.Type())...)
}

func (h *hosted) Hashcode() uint32 {
	w := fnv.New32a()
	h.WriteHash(w)
	return w.Sum32()
}

// Do runs the step. A panic of a kernel becomes an error here, because the machine runs in a goroutine of its own.
func (h *hosted) Do(...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("graph: %v: %v", h, r)
		}
	}()
	if h.graph.counter != h.at {
		return nil, fmt.Errorf("graph: %v ran as step %d, planned as step %d", h, h.graph.counter, h.at)
	}
	h.graph.counter++
	if r := h.graph.recording; r != nil && h.waits {
		return h.result, r.pass(h)
	}
	h.run(&h.call)
	return h.result, nil
}

// host adds a step to gorgonia's graph, choosing a salt that keeps its hash apart from all others. Each step follows the one that was added
// before it: the order of steps is that of their definition, so gradients that meet in one place add up in one order, whatever else the graph holds.
func (g *Graph) host(h *hosted, children []*gorgonia.Node) (*gorgonia.Node, error) {
	h.graph = g
	children = follow(children, g.last)
	for _, c := range children {
		h.in = append(h.in, c.Type())
	}
	for !g.hashes.claim(nodeHash(h.out, h.WriteHash, children)) {
		h.salt++
	}
	gn, err := gorgonia.ApplyOp(h, children...)
	if err != nil {
		return nil, fmt.Errorf("graph: %v: %w", h, err)
	}
	h.at = len(g.steps)
	g.steps = append(g.steps, h)
	g.last = gn
	return gn, nil
}

// follow adds a step to the children of another, unless it is there. Nil is no step.
func follow(children []*gorgonia.Node, step *gorgonia.Node) []*gorgonia.Node {
	if step != nil && !slices.Contains(children, step) {
		children = append(children, step)
	}
	return children
}

// hostForwards enters the nodes that someone needs into gorgonia's graph, in the order of creation.
func (g *Graph) hostForwards(roots []*Node) error {
	needed := map[*Node]bool{}
	for _, r := range roots {
		needed[r.base] = true
	}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		for _, in := range g.nodes[i].in {
			needed[in.base] = needed[in.base] || needed[g.nodes[i]]
		}
	}
	g.nodes = slices.DeleteFunc(g.nodes, func(n *Node) bool { return !needed[n] && !n.leaf() })
	for _, n := range g.nodes {
		if n.leaf() {
			if needed[n] {
				g.hostLeaf(n)
			}
			continue
		}
		children := make([]*gorgonia.Node, len(n.in))
		for i, c := range n.in {
			children[i] = c.base.gn
		}
		gn, err := g.host(n.hosted, children)
		if err != nil {
			return err
		}
		n.gn = gn
	}
	return nil
}

func (g *Graph) hostLeaf(n *Node) {
	name := fmt.Sprintf("%s#%d", n.kind, n.id)
	for salt := 0; !g.hashes.claim(nodeHash(n.desc, func(w hash.Hash) { fmt.Fprint(w, name) }, nil)); salt++ {
		name = fmt.Sprintf("%s#%d.%d", n.kind, n.id, salt)
	}
	n.gn = gorgonia.NewUniqueNode(gorgonia.WithType(n.desc.Type()), gorgonia.WithShape(n.desc.Shape...), gorgonia.WithName(name), gorgonia.In(g.expr))
}

// hashSet holds the hashes of a graph's nodes. The machine's compiler compares nothing but the hash, so two nodes of one hash would become one.
type hashSet map[uint32]struct{}

func (s hashSet) claim(h uint32) bool {
	if _, taken := s[h]; taken {
		return false
	}
	s[h] = struct{}{}
	return true
}

// nodeHash predicts the hash that gorgonia gives a node: type, shape, operation or name, children. checkHashes holds it to that.
func nodeHash(d device.Desc, what func(hash.Hash), children []*gorgonia.Node) uint32 {
	h := fnv.New32a()
	shape := d.Shape
	if d.Rank() == 0 {
		shape = tensor.ScalarShape()
	}
	fmt.Fprintf(h, "%v%v", d.Type(), shape)
	what(h)
	h.Write([]byte{byte(len(children))})
	for _, c := range children {
		h.Write(binary.LittleEndian.AppendUint32(nil, c.Hashcode()))
	}
	return h.Sum32()
}

// checkHashes makes sure that no two nodes will be merged.
func (g *Graph) checkHashes() error {
	seen := map[uint32]*gorgonia.Node{}
	for _, n := range g.expr.AllNodes() {
		if o := seen[n.Hashcode()]; o != nil {
			return fmt.Errorf("graph: nodes %v and %v have one hash; gorgonia would merge them", o, n)
		}
		seen[n.Hashcode()] = n
	}
	if len(seen) != len(g.hashes) {
		return fmt.Errorf("graph: gorgonia has %d nodes, %d were defined", len(seen), len(g.hashes))
	}
	return nil
}
