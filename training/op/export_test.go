package op

import "tempera/training/graph"

// HeadTestOptions limit the logits that HeadCrossEntropy holds at once.
type HeadTestOptions struct {
	HeadOptions
	Most int
}

// HeadCrossEntropyOf is HeadCrossEntropy with another limit.
func HeadCrossEntropyOf(g *graph.Graph, x, w, targets *graph.Node, o HeadTestOptions) *graph.Node {
	return headLoss(g, []*graph.Node{x, w, targets}, o.HeadOptions, headLimits{o.Most, o.Most})
}
