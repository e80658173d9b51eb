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

// HeadLogProbsOf is HeadLogProbs that holds no more logits at once than a limit.
func HeadLogProbsOf(g *graph.Graph, x, w, targets *graph.Node, o LogProbOptions, block int) *graph.Node {
	return headLogProbsOf(g, []*graph.Node{x, w, targets}, o, block)
}

// HeadDivergenceOf is HeadDivergence that holds no more logits of either at once than a limit.
func HeadDivergenceOf(g *graph.Graph, student, teacher HeadOperand, targets *graph.Node, temperature float32, block int) *graph.Node {
	return headDivergenceOf(g, student, teacher, targets, headDivergence{temperature: temperature, block: block})
}
