package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// ContrastiveArgs are the operands of a loss between paired features, row i of Image belonging to row i of Text. Both are (B, C) and are
// normalised here.
type ContrastiveArgs struct {
	Image, Text *graph.Node
	LogScale    *graph.Node // one element: the logarithm of the scale of cosines
	Bias        *graph.Node // SigLIP only: one element
}

// ContrastiveLoss is the loss of CLIP (Radford et al. 2021): the mean of the cross-entropies of exp(LogScale) cos(image, text) by rows and by
// columns against the diagonal. It returns the loss and the logits (B, B), images by texts. It adds a dozen nodes.
func ContrastiveLoss(g *graph.Graph, a ContrastiveArgs) (loss, logits *graph.Node) {
	i, t := L2Normalize(g, a.Image), L2Normalize(g, a.Text)
	logits = ScaleBy(g, MatMulT(g, i, t), a.LogScale, device.TimesExp)
	transposed := ScaleBy(g, MatMulT(g, t, i), a.LogScale, device.TimesExp)
	labels := g.Ints(diagonal(a.Image.Dim(0)))
	byImage := CrossEntropy(g, logits, labels, CrossEntropyOptions{})
	byText := CrossEntropy(g, transposed, labels, CrossEntropyOptions{})
	return WeightedSum(g, []float32{0.5, 0.5}, byImage, byText), logits
}

func diagonal(n int) []int32 {
	d := make([]int32, n)
	for i := range d {
		d[i] = int32(i)
	}
	return d
}

// SigLIPLoss is the pairwise sigmoid loss (Zhai et al. 2023): the sum over all pairs of -log sigmoid(z (exp(LogScale) cos + Bias)), z = 1 for
// matches and -1 otherwise, divided by B. It returns the loss and the logits (B, B).
func SigLIPLoss(g *graph.Graph, a ContrastiveArgs) (loss, logits *graph.Node) {
	i, t := L2Normalize(g, a.Image), L2Normalize(g, a.Text)
	logits = AddBias(g, ScaleBy(g, MatMulT(g, i, t), a.LogScale, device.TimesExp), a.Bias)
	return g.Apply(&sigLIP{}, logits), logits
}

// sigLIP is the loss of (B, B) logits. Saved: the gradient, which becomes that of the logits in place.
type sigLIP struct{ b int }

func (s *sigLIP) Name() string { return "siglip" }

func (s *sigLIP) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "f"), rank(in[0], "the logits", 2)); err != nil {
		return device.Desc{}, err
	}
	s.b = in[0].Shape[0]
	if in[0].Shape[1] != s.b {
		return device.Desc{}, fmt.Errorf("logits must be square")
	}
	return device.Floats(), nil
}

func (s *sigLIP) Scratch(graph.ForwardRequest) []device.Desc {
	return []device.Desc{device.Floats(s.b)}
}

func (s *sigLIP) Forward(c *graph.Call) {
	a := device.SigLIPArgs{Rows: s.b, Logits: c.In[0], RowLoss: c.Scratch[0], Mean: c.Out}
	if c.Saving() {
		a.DLogits = c.Saved[0]
	}
	c.Backend.SigLIP(a)
}

func (s *sigLIP) Wrt() []bool { return []bool{true} }

func (s *sigLIP) Backprop(r graph.Request) graph.Backprop { return savedGradient(r.In[0]) }

func (s *sigLIP) Backward(c *graph.Call) { scaleSavedGradient(c) }
