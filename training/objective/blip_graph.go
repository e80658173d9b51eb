package objective

import (
	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
)

// Names of the training graph's inputs and outputs.
const (
	momentumImage = "momentum_image" // (B, E)
	momentumText  = "momentum_text"
	queueImage    = "queue_image" // (Q, E)
	queueText     = "queue_text"
	alpha         = "alpha"
	imageKeys     = "image_keys" // normalised momentum features
	textKeys      = "text_keys"
	encoded       = "encoded"     // tokens that begin with ENC
	decoded       = "decoded"     // tokens that begin with BOS
	drawTexts     = "draw_texts"  // numbers in [0, 1)
	drawImages    = "draw_images" // numbers in [0, 1)
	matchLogits   = "match_logits"
)

// contrast is what ITC hands to ITM: the similarities within the batch.
type contrast struct{ imageToText, textToImage *graph.Node }

// defineBLIP is the whole loss. The image tower runs once, and the keys and
// values of its states are shared by matching and captioning.
func defineBLIP(g *graph.Graph, m *model.Model, o BLIPOptions, tokens int) *graph.Node {
	s := shape{o.rows(), tokens}
	states := m.VisionStates(g, imageInput(g, m, s.rows)) // (B, P, C)
	var losses []*graph.Node
	var weights []float32
	part := func(name string, weight float64, loss *graph.Node) {
		g.Output(name, loss)
		losses, weights = append(losses, loss), append(weights, float32(weight))
	}
	similarity := contrast{}
	var text model.Texts
	if o.ITC > 0 {
		text = textInput(g, m, s)
		var loss *graph.Node
		loss, similarity = defineITC(g, m, itcInput{options: o, states: states, text: text})
		part("itc", o.ITC, loss)
	}
	var memory model.Memory
	if o.ITM > 0 || o.LM > 0 {
		memory = m.Memory(g, states)
	}
	if o.ITM > 0 {
		if text.Lengths == nil {
			text.Lengths = g.Input(Lengths, device.Int32, s.rows)
		}
		part("itm", o.ITM, defineITM(g, m, itmInput{shape: s, lengths: text.Lengths, memory: memory, similarity: similarity}))
	}
	if o.LM > 0 {
		part("lm", o.LM, defineCaptioning(g, m, captionInput{o, s, memory}))
	}
	loss := op.WeightedSum(g, weights, losses...)
	g.Output(training.LossKey, loss)
	if o.parts() > 1 {
		g.Seed(share, loss)
	}
	return loss
}

type itcInput struct {
	options BLIPOptions
	states  *graph.Node
	text    model.Texts
}

func defineITC(g *graph.Graph, m *model.Model, in itcInput) (*graph.Node, contrast) {
	o := in.options
	image := m.ImageFeature(g, in.states)
	text := m.TextFeature(g, m.TextStates(g, in.text), in.text)
	temperature := g.Param(m.Param("temperature"))
	if !o.momentum() {
		return defineInBatch(g, image, text, temperature)
	}
	e := m.Config.Embed
	itc := op.ITCLoss(g, op.ITCArgs{
		Image: image, Text: text,
		ImageM:      g.Input(momentumImage, device.Float32, o.Batch, e),
		TextM:       g.Input(momentumText, device.Float32, o.Batch, e),
		QueueImage:  g.Input(queueImage, device.Float32, o.Queue, e),
		QueueText:   g.Input(queueText, device.Float32, o.Queue, e),
		Temperature: temperature,
		Alpha:       g.Input(alpha, device.Float32, 1),
	})
	g.Output(imageKeys, itc.ImageKeys)
	g.Output(textKeys, itc.TextKeys)
	return itc.Loss, contrast{itc.ImageToText, itc.TextToImage}
}

// defineInBatch is the contrast of CLIP with a temperature.
func defineInBatch(g *graph.Graph, image, text, temperature *graph.Node) (*graph.Node, contrast) {
	i, t := op.L2Normalize(g, image), op.L2Normalize(g, text)
	rows := op.ScaleBy(g, op.MatMulT(g, i, t), temperature, device.DividedBy)
	columns := op.ScaleBy(g, op.MatMulT(g, t, i), temperature, device.DividedBy)
	labels := g.Ints(counting(image.Dim(0)))
	loss := op.WeightedSum(g, []float32{0.5, 0.5},
		op.CrossEntropy(g, rows, labels, op.CrossEntropyOptions{}),
		op.CrossEntropy(g, columns, labels, op.CrossEntropyOptions{}))
	return loss, contrast{g.Detach(rows), g.Detach(columns)}
}

type itmInput struct {
	shape
	lengths    *graph.Node
	memory     model.Memory
	similarity contrast
}

// defineITM judges 3 B pairs: (image i, text i), (image i, a hard text), (a hard
// image, text i). Images of negatives keep their gradient.
func defineITM(g *graph.Graph, m *model.Model, in itmInput) *graph.Node {
	b := in.rows
	sim := in.similarity
	if sim.imageToText == nil { // all equal: even draws
		even := g.Input("even", device.Float32, b, b)
		sim = contrast{even, even}
	}
	groups := g.Input(Groups, device.Int32, b)
	hardText := op.HardNegatives(g, sim.imageToText, g.Input(drawTexts, device.Float32, b), groups)
	hardImage := op.HardNegatives(g, sim.textToImage, g.Input(drawImages, device.Float32, b), groups)
	g.Output("hard_text", hardText)
	g.Output("hard_image", hardImage)

	own := g.Ints(counting(b))
	texts := op.ConcatInts(g, own, hardText, own)   // (3 B)
	images := op.ConcatInts(g, own, own, hardImage) // (3 B)
	tokens := g.Input(encoded, device.Int32, b, in.tokens)
	states := m.GroundedStates(g, model.Texts{
		Tokens:  op.GatherInts(g, tokens, texts),
		Lengths: op.GatherInts(g, in.lengths, texts),
	}, in.memory.Select(g, images))
	logits := m.MatchLogits(g, states) // (3 B, 2)
	g.Output(matchLogits, logits)
	labels := make([]int32, 3*b)
	for i := range b {
		labels[i] = 1
	}
	return op.CrossEntropy(g, logits, g.Ints(labels), op.CrossEntropyOptions{})
}

type captionInput struct {
	options BLIPOptions
	shape
	memory model.Memory
}

func defineCaptioning(g *graph.Graph, m *model.Model, in captionInput) *graph.Node {
	tokens := g.Input(decoded, device.Int32, in.rows, in.tokens)
	targets := g.Input(Targets, device.Int32, in.rows, in.tokens)
	return m.TokenLoss(g, m.DecoderStates(g, tokens, in.memory), targets, float32(in.options.Smoothing))
}

// counting is 0, 1, ..., n-1.
func counting(n int) []int32 {
	c := make([]int32, n)
	for i := range c {
		c[i] = int32(i)
	}
	return c
}
