// Package graph hosts fused operations on gorgonia graphs.
//
// An operation (Op) states a shape, a forward and, where it has one, a backward; the graph does the rest once for
// all of them: gorgonia checks types, orders the nodes and runs them on its TapeMachine; the reverse pass here adds
// one fused backward node per operation that needs one; every activation, gradient and saved state gets a place in
// one arena, planned by live ranges.
//
//	g := graph.New(backend, graph.Options{Train: true})
//	x := g.Input("tokens", device.Int32, B, T)
//	h := op.Embedding(g, g.Param(table), x)
//	...
//	g.Output("loss", loss)
//	err := g.Compile(loss)              // plans
//	err = g.Feed("tokens", tokens)      // the first use allocates
//	err = g.Run()                       // forward and backward: adds to the gradients of the parameters
//	loss, err := g.Read("loss")
//
// Reverse pass. Parameter gradients are added to Param.Grad in place, so tied weights and accumulation over several
// runs need no further code. A node with several users gets the sum of their terms from one operation. A mask of
// what is needed is computed first: frozen parameters, inputs and what lies below them get no gradient code, and
// operations learn which gradients are wanted.
//
// A reverse pass can also start at nodes whose gradient is fed (Graph.Seed): a loss that is a part of a larger one, or features that are judged in
// another graph.
//
// Memory. Compile plans and allocates nothing; Memory tells what would be allocated, Together what several graphs would. What the reverse pass
// reads is kept until then, but for what lies inside a Graph.Block where Options.Checkpoint is set: that is computed again. Graphs that never run at
// once can share an Arena, and any number of graphs share parameters and gradients.
//
// Types. What operations yield is stored as the backend stores activations (device.ActivationsOf), and gradients like what they belong to, but for
// losses and what is Exact. Parameters, their gradients and inputs are what they were declared; the host sees float32.
//
// Gorgonia. Steps run in the order in which they were defined: each is a child of the one before, which is also what makes sums of gradients the same
// bits whatever else a graph holds. Nodes ignore the values that the machine hands them and use the places given at Compile, because the
// machine forgets its registers at each reset; each run checks that the machine keeps the order that the
// memory plan assumes. The machine merges nodes of equal 32-bit hash, so operations are salted until hashes differ.
//
// Equal graphs are built, planned and run in the same order in every process.
package graph
