package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// ITCArgs are the operands of the image-text contrast of ALBEF and BLIP. Features are (B, C), the queues (Q, C). Features are
// normalised here; the rows of the queues are normalised already.
type ITCArgs struct {
	Image, Text           *graph.Node
	ImageM, TextM         *graph.Node // of the momentum encoders; no gradient flows into them
	QueueImage, QueueText *graph.Node // momentum features of earlier batches
	Temperature           *graph.Node // one element; trained if it is a parameter
	Alpha                 *graph.Node // one element: the weight of the momentum targets
}

// ITC is what ITCLoss computes: the scalar loss, the normalised momentum features (B, C), which go into the queues, and the student's
// similarities within the batch over the temperature (B, B), from which hard negatives are drawn.
type ITC struct {
	Loss                *graph.Node
	ImageKeys, TextKeys *graph.Node
	ImageToText         *graph.Node
	TextToImage         *graph.Node
}

// ITCLoss contrasts each feature with the momentum features of the batch and of the queue (Li et al. 2021, ALBEF; 2022, BLIP). The targets
// are alpha softmax(momentum similarities) + (1 - alpha) onehot. It adds about thirty nodes.
func ITCLoss(g *graph.Graph, a ITCArgs) ITC {
	i, t := L2Normalize(g, a.Image), L2Normalize(g, a.Text)
	im, tm := L2Normalize(g, g.Detach(a.ImageM)), L2Normalize(g, g.Detach(a.TextM))
	allI, allT := ConcatRows(g, im, a.QueueImage), ConcatRows(g, tm, a.QueueText)
	byImage := itcSide(g, a, itcRows{student: i, momentum: im, keys: allT})
	byText := itcSide(g, a, itcRows{student: t, momentum: tm, keys: allI})
	return ITC{
		Loss:      WeightedSum(g, []float32{0.5, 0.5}, byImage, byText),
		ImageKeys: im, TextKeys: tm,
		ImageToText: similarity(g, i, t, a.Temperature),
		TextToImage: similarity(g, t, i, a.Temperature),
	}
}

// similarity is detached: it steers sampling only.
func similarity(g *graph.Graph, a, b, temperature *graph.Node) *graph.Node {
	return ScaleBy(g, MatMulT(g, g.Detach(a), g.Detach(b)), g.Detach(temperature), device.DividedBy)
}

type itcRows struct{ student, momentum, keys *graph.Node }

func itcSide(g *graph.Graph, a ITCArgs, r itcRows) *graph.Node {
	keys := g.Detach(r.keys)
	logits := ScaleBy(g, MatMulT(g, r.student, keys), a.Temperature, device.DividedBy)
	targets := g.Apply(&mixTargets{}, similarity(g, r.momentum, keys, a.Temperature), a.Alpha)
	return CrossEntropy(g, logits, targets, CrossEntropyOptions{})
}

// mixTargets is alpha softmax(logits) + (1 - alpha) onehot with the diagonal as the hard targets. It has no gradient.
type mixTargets struct {
	always
	n, v int
}

func (m *mixTargets) Name() string { return "mixtargets" }

func (m *mixTargets) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "ff"), rank(in[0], "the logits", 2), isScalar(in[1], "alpha")); err != nil {
		return device.Desc{}, err
	}
	m.n, m.v = in[0].Shape[0], in[0].Shape[1]
	if m.v < m.n {
		return device.Desc{}, fmt.Errorf("%d columns for %d rows", m.v, m.n)
	}
	return in[0], nil
}

func (m *mixTargets) Forward(c *graph.Call) {
	c.Backend.MixTargets(device.MixTargetsArgs{Rows: m.n, Cols: m.v, Logits: c.In[0], Alpha: c.In[1], Y: c.Out})
}
