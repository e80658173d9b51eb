package op

import "tempera/training/graph"

// GatherInts is GatherRows of an int32 tensor: token ids of chosen captions.
func GatherInts(g *graph.Graph, x, index *graph.Node) *graph.Node { return GatherRows(g, x, index) }

// ConcatInts is ConcatRows of int32 tensors.
func ConcatInts(g *graph.Graph, xs ...*graph.Node) *graph.Node { return ConcatRows(g, xs...) }
