package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// Node is a tensor of a graph: an input, a parameter, an operation's output, or another shape of one of these.
type Node struct {
	graph *Graph
	id    int
	name  string
	desc  device.Desc
	base  *Node // the node whose memory this is: itself unless it is a view

	detached bool // no gradient flows through this view

	// Of a base only.
	kind   string // of a leaf, for gorgonia's graph
	param  *Param
	ints   []int32 // of a constant
	op     Op
	in     []*Node
	hosted *hosted        // forward code; nil for leaves
	gn     *gorgonia.Node // its place in gorgonia's graph
	slot   *slot          // its memory
	block  *block         // that it belongs to; nil: none
}

// Desc is the node's element type and shape.
func (n *Node) Desc() device.Desc { return n.desc }

// Shape is the node's shape. The caller must not change it.
func (n *Node) Shape() device.Shape { return n.desc.Shape }

// Dim is an extent of the shape; negative counts from the end, as in Dim(-1) for the last.
func (n *Node) Dim(i int) int {
	if i < 0 {
		i += len(n.desc.Shape)
	}
	if i < 0 || i >= len(n.desc.Shape) {
		panic(faultOf("dim", []*Node{n}, "no such dimension"))
	}
	return n.desc.Shape[i]
}

// Graph is the graph that the node belongs to.
func (n *Node) Graph() *Graph { return n.graph }

// Name is the name of an input or parameter; operations are named after themselves and numbered.
func (n *Node) Name() string { return n.name }

func (n *Node) String() string { return fmt.Sprintf("%s %v", n.name, n.desc) }

// Reshape is the node under another shape of equal size; no data moves.
func (g *Graph) Reshape(n *Node, shape ...int) *Node {
	d := device.Desc{DType: n.desc.DType, Shape: slices.Clone(device.Shape(shape))}
	if d.Size() != n.desc.Size() {
		panic(faultOf("reshape", []*Node{n}, fmt.Sprintf("shape %v has another size", shape)))
	}
	return &Node{graph: g, id: n.id, name: n.name, desc: d, base: n.base, detached: n.detached}
}

// Detach is the same tensor as a constant: no gradient flows back through it.
func (g *Graph) Detach(n *Node) *Node {
	return &Node{graph: g, id: n.id, name: n.name, desc: n.desc, base: n.base, detached: true}
}

// leaf tells whether the node is an input or a parameter.
func (n *Node) leaf() bool { return n.op == nil }

func descsOf(ns []*Node) []device.Desc {
	d := make([]device.Desc, len(ns))
	for i, n := range ns {
		d[i] = n.desc
	}
	return d
}
