package op

import (
	"tempera/training/device"
	"tempera/training/graph"
)

// LoRA is a low-rank change of a linear layer (Hu et al. 2022): A is (I, r), B (r, O), both usually the only parameters of the layer that are trained.
type LoRA struct {
	A, B  *graph.Node
	Scale float32 // alpha/r
}

// lowRank is y = f(x W + b + scale (x A) B) + r. The products with A and B cost little beside x W, whose own gradient is not computed where W is
// frozen; the second product has the first as its residual. It adds three or four nodes.
func lowRank(g *graph.Graph, x, w, b *graph.Node, o LinearOptions) *graph.Node {
	l := o.LoRA
	base := LinearOptions{Transposed: o.Transposed, Exact: o.Exact}
	if o.Activation == device.Identity {
		base.Residual = o.Residual
	}
	y := Linear(g, x, w, b, base)
	inner := Scale(g, Linear(g, x, l.A, nil, LinearOptions{}), l.Scale)
	y = Linear(g, inner, l.B, nil, LinearOptions{Residual: y})
	if o.Activation == device.Identity {
		return y
	}
	y = Activate(g, y, o.Activation)
	if o.Residual != nil {
		y = Add(g, y, g.Reshape(o.Residual, y.Shape()...))
	}
	return y
}
