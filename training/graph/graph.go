package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"tempera/training/device"
)

// Options configure a graph.
type Options struct {
	// Train adds the reverse pass. Without it nothing is saved for a backward.
	Train bool
	// Checkpoint keeps nothing of what happens inside a Block for the reverse pass but the values that come in, and
	// computes the block again when the reverse pass reaches it (Chen et al. 2016). Gradients are the same bits.
	Checkpoint bool
	// Light keeps no values of light operations inside a Block, such as norms and gates, and computes only those again: most of what they take for little
	// time. Gradients are the same bits. Checkpoint does more.
	Light bool
	// Arena is memory for activations that graphs share which never run at the same time. Nil: the graph has its own.
	Arena *Arena
	// NoReuse gives every tensor a place of its own. It is for finding faults of the memory plan.
	NoReuse bool
}

// Graph is a computation of fixed shapes. Define it, Compile it once, then Feed, Run and Read it any number of times.
// It is not safe for concurrent use; different graphs are, also on the same parameters as long as only one trains.
type Graph struct {
	backend device.Backend
	options Options
	expr    *gorgonia.ExprGraph

	ids       int
	nodes     []*Node // bases, in the order of creation; Compile drops those that nothing needs
	inputs    map[string]*Node
	params    map[*Param]*Node
	paramList []*Param
	outputs   []output
	wanted    []output // gradients to keep
	seeds     []seed
	block     *block // that nodes are being added to; nil: none

	steps   []*hosted
	last    *gorgonia.Node // the step added last
	slots   []*slot
	hashes  hashSet
	counter int // of the run: steps that are done

	state   state
	arena   *Arena
	need    int             // words of the arena
	grads   map[*Node]*slot // of wanted gradients
	buffers []device.Buffer
	machine gorgonia.VM
	reads   map[string]*device.Value
	memory  Memory

	ran       bool    // once at least, step by step
	record    *record // of all steps; nil: none was made
	recording *record // that is being made; nil: none is
}

// state is how far a graph has come.
type state int

const (
	defining state = iota
	compiled       // planned, without memory
	ready          // with memory
	closed
)

// seed is where the reverse pass starts besides the loss.
type seed struct {
	node     *Node
	gradient *Node // an input
}

// block is a part of the graph that the reverse pass may compute again.
type block struct{ name string }

type output struct {
	name string
	node *Node
}

// New starts an empty graph on a backend.
func New(b device.Backend, o Options) *Graph {
	if o.Arena == nil {
		o.Arena = NewArena(b)
	}
	return &Graph{
		backend: b, options: o, arena: o.Arena, expr: gorgonia.NewGraph(),
		inputs: map[string]*Node{}, params: map[*Param]*Node{}, hashes: hashSet{}, reads: map[string]*device.Value{},
	}
}

// Build defines and compiles a graph. define returns the loss (nil where there is none: Train needs one) and may panic with
// a Fault, which becomes the error.
func Build(b device.Backend, o Options, define func(g *Graph) *Node) (*Graph, error) {
	g := New(b, o)
	loss, err := g.define(define)
	if err != nil {
		return nil, err
	}
	if err := g.Compile(loss); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Graph) define(define func(g *Graph) *Node) (loss *Node, err error) {
	defer Recover(&err)
	return define(g), nil
}

// Backend is where the graph runs.
func (g *Graph) Backend() device.Backend { return g.backend }

// Training tells whether the graph has a reverse pass.
func (g *Graph) Training() bool { return g.options.Train }

// Params are the parameters that the graph uses, in the order of first use.
func (g *Graph) Params() []*Param { return slices.Clone(g.paramList) }

func (g *Graph) nextID() int {
	g.ids++
	return g.ids
}

// Input declares a tensor that Feed fills. It keeps what was fed last; before that it is zero.
func (g *Graph) Input(name string, t device.DType, shape ...int) *Node {
	if name == "" || g.inputs[name] != nil {
		fault("input", "the name %q is empty or taken", name)
	}
	n := g.addLeaf("input "+name, device.Desc{DType: t, Shape: slices.Clone(device.Shape(shape))})
	n.name = name
	g.inputs[name] = n
	return n
}

// Param is the node of a parameter: the same one each time.
func (g *Graph) Param(p *Param) *Node {
	if n := g.params[p]; n != nil {
		return n
	}
	if p == nil || p.Value == nil {
		fault("param", "the parameter is nil or has no value")
	}
	n := g.addLeaf(fmt.Sprintf("param %s", p.Name), p.Value.Desc())
	n.name, n.param = p.Name, p
	g.params[p] = n
	g.paramList = append(g.paramList, p)
	return n
}

// Ints is a constant vector.
func (g *Graph) Ints(data []int32) *Node {
	n := g.addLeaf("constant", device.Ints(len(data)))
	n.name, n.ints = "constant", slices.Clone(data)
	return n
}

// addLeaf makes an input, parameter or constant.
func (g *Graph) addLeaf(kind string, d device.Desc) *Node {
	for i, e := range d.Shape {
		if e <= 0 {
			fault(kind, "dimension %d of shape %v must be positive", i, d.Shape)
		}
	}
	n := &Node{graph: g, id: g.nextID(), desc: d, slot: g.newSlot(d)}
	n.base = n
	n.slot.fixed = true
	n.kind = kind
	g.nodes = append(g.nodes, n)
	return n
}

// Apply adds an operation. Operations of package op wrap it; it panics with a Fault where Infer objects.
func (g *Graph) Apply(op Op, in ...*Node) *Node {
	if g.state != defining {
		fault(op.Name(), "the graph is compiled already")
	}
	if len(in) == 0 {
		fault(op.Name(), "an operation needs an input")
	}
	for i, n := range in {
		if n == nil || n.graph != g {
			fault(op.Name(), "operand %d is nil or of another graph", i)
		}
	}
	d, err := op.Infer(descsOf(in))
	if err != nil {
		panic(faultOf(op.Name(), in, err.Error()))
	}
	d.DType = g.stored(op, in, d)
	n := &Node{graph: g, id: g.nextID(), desc: d, op: op, in: slices.Clone(in), slot: g.newSlot(d), block: g.block}
	n.base = n
	n.hosted = &hosted{name: op.Name(), id: n.id, out: d, run: op.Forward, waits: waits(op)}
	n.hosted.slots = stepSlots{in: viewsOf(in), out: view{n.slot, d}}
	n.name = n.hosted.String()
	g.nodes = append(g.nodes, n)
	return n
}

// stored is the type of an operation's output.
func (g *Graph) stored(op Op, in []*Node, d device.Desc) device.DType {
	if !d.DType.Float() {
		return d.DType
	}
	if e, ok := op.(Exact); d.Size() == 1 || ok && e.Exact(descsOf(in)) {
		return device.Float32
	}
	return device.ActivationsOf(g.backend)
}

// Block defines a part of the graph, such as a layer, that the reverse pass of a graph with Options.Checkpoint computes again. What comes in
// and what goes out is kept. A block within a block belongs to the outer one.
func (g *Graph) Block(name string, define func() *Node) *Node {
	if g.block != nil {
		return define()
	}
	g.block = &block{name}
	defer func() { g.block = nil }()
	return define()
}

// Output keeps a node's value after a run, for Read under the given name.
func (g *Graph) Output(name string, n *Node) {
	g.nameOutput(name)
	g.outputs = append(g.outputs, output{name, n})
}

// Gradient keeps the loss's gradient with respect to a node, for Read. It makes the reverse pass reach the node even if it is
// an input. Parameters have theirs in Param.Grad.
func (g *Graph) Gradient(name string, n *Node) {
	if n.base.param != nil {
		fault("gradient", "%s is a parameter: read its Grad", n.name)
	}
	if !g.options.Train {
		fault("gradient", "the graph of %s does not train", n.name)
	}
	if !n.desc.DType.Float() {
		fault("gradient", "%v has no gradient", n)
	}
	g.nameOutput(name)
	g.wanted = append(g.wanted, output{name, n})
}

// Seed lets the reverse pass start at a node with the gradient that is fed under a name, of the node's shape. A loss that is seeded starts with
// what is fed instead of 1: so a part of a batch takes its share in the loss of the whole. Seeded features take the gradients that a
// loss over more rows than the graph holds has for them.
func (g *Graph) Seed(name string, n *Node) {
	if !g.options.Train || !n.desc.DType.Float() || n.base.leaf() {
		fault("seed", "%v is no result with a gradient in a training graph", n)
	}
	g.seeds = append(g.seeds, seed{n, g.Input(name, n.desc.DType, n.desc.Shape...)})
}

func (g *Graph) nameOutput(name string) {
	if _, taken := g.reads[name]; taken || name == "" {
		fault("output", "the name %q is empty or taken", name)
	}
	g.reads[name] = nil
}
