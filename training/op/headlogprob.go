package op

import (
	"cmp"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// LogProbOptions shape a language head and the distribution that it gives.
type LogProbOptions struct {
	Bias *graph.Node // (V) or nil
	// Transposed takes the weight as (V, C): a tied head reads the embedding's table so.
	Transposed  bool
	Temperature float32 // divides the logits, as sampling did; 0 means 1
}

// HeadLogProbs is what policy objectives take from the logits z = (x W + bias) / temperature of a language head: (N, 2), of each row the
// log-probability of its target and the entropy of the distribution, in nats. x is (..., C) with N rows, W (C, V), targets int32 with one entry per row,
// where device.IgnoreIndex makes the row zeros. Both columns have a gradient.
//
// Method: the logits exist for some rows at a time, a block of them, and are made again by the backward. Saved: a number per row; the
// backward reads the output.
func HeadLogProbs(g *graph.Graph, x, w, targets *graph.Node, o LogProbOptions) *graph.Node {
	return headLogProbsOf(g, []*graph.Node{x, w, targets}, o, headBlockOf(g))
}

func headLogProbsOf(g *graph.Graph, in []*graph.Node, o LogProbOptions, block int) *graph.Node {
	h := &headLogProbs{temperature: cmp.Or(o.Temperature, 1), block: block}
	return g.Apply(h, h.operands(in, o.Bias, o.Transposed)...)
}

type headLogProbs struct {
	always
	headOperands
	temperature float32
	block       int // logits that exist at once
}

func (h *headLogProbs) Name() string { return "headlogprobs" }

func (h *headLogProbs) Infer(in []device.Desc) (device.Desc, error) {
	if !(h.temperature > 0) {
		return device.Desc{}, fmt.Errorf("temperature is %v: it must be positive", h.temperature)
	}
	if err := h.infer(in); err != nil {
		return device.Desc{}, err
	}
	return device.Floats(h.n, 2), nil
}

// Scratch is a block of logits and, unless they are saved, the logarithms of sums.
func (h *headLogProbs) Scratch(f graph.ForwardRequest) []device.Desc {
	s := []device.Desc{h.blockOf(h.block)}
	if !f.Saving {
		s = append(s, device.Floats(h.n))
	}
	return s
}

func (h *headLogProbs) Forward(c *graph.Call) {
	a := device.HeadLogProbsArgs{HeadInput: h.input(c, c.Scratch[0]), Temperature: h.temperature, Y: c.Out, LogSumExp: c.Scratch[len(c.Scratch)-1]}
	if c.Saving() {
		a.LogSumExp = c.Saved[0]
	}
	c.Backend.HeadLogProbs(a)
}

func (h *headLogProbs) Backprop(r graph.Request) graph.Backprop {
	b := h.backprop(r, h.blockOf(h.block))
	b.ReadsOut = true
	return b
}

func (h *headLogProbs) Backward(c *graph.Call) {
	f := device.HeadLogProbsArgs{HeadInput: h.input(c, c.Scratch[0]), Temperature: h.temperature, Y: c.Out, LogSumExp: c.Saved[0]}
	c.Backend.HeadLogProbsBackward(device.HeadLogProbsBackwardArgs{Forward: f, DY: c.DOut, HeadGradients: h.gradients(c)})
}
