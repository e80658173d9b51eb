package objective

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// BLIP trains the mixture of encoder and decoder (Li et al. 2022) on the weighted
// sum of image-text contrast (ITC), image-text matching (ITM) and captioning (LM).
//
// ITC is that of ALBEF: momentum encoders, queues, soft targets, a temperature
// held to [0.001, 0.5]. ITM judges each batch's B pairs and 2B hard negatives,
// drawn by the similarities of the online features; rows of one group (GroupRows)
// are never drawn. LM has label smoothing and leaves the prompt and padding out.
//
// Deviations: where ITC is off, negatives are drawn evenly; where the queue is 0,
// ITC contrasts within the batch; averages move after the optimiser's step rather
// than before the next forward pass, which is the same but for the first step, and
// follow faster at first (MomentumRamp).
type BLIP struct {
	model    *model.Model
	options  BLIPOptions
	graph    *graph.Graph
	momentum *momentum // nil: ITC is off, or within the batch
	text     textBuffers
}

var _ training.Objective = (*BLIP)(nil)

// NewBLIP builds the objective on a blip model, whose parameters it trains in
// place. It sets which of them are frozen: the image tower where asked for, and
// all that no part uses.
func NewBLIP(m *model.Model, o BLIPOptions) (*BLIP, error) {
	if m.Config.Kind != model.BLIP {
		return nil, fmt.Errorf("blip objective: the model is of kind %s", m.Config.Kind)
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("blip objective: %w", err)
	}
	for _, p := range m.Params() {
		p.Frozen = o.FreezeVision && strings.HasPrefix(p.Name, "vision.")
	}
	b := &BLIP{model: m, options: o}
	var err error
	b.graph, err = graph.Build(m.Backend(), graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		return defineBLIP(g, m, o)
	})
	if err != nil {
		return nil, fmt.Errorf("blip objective: %w", err)
	}
	trainOnly(m, b.graph)
	if o.momentum() {
		if b.momentum, err = newMomentum(m, o); err != nil {
			return nil, errors.Join(fmt.Errorf("blip objective: %w", err), b.graph.Close())
		}
	}
	return b, nil
}

// Params is part of training.Objective.
func (b *BLIP) Params() []*graph.Param { return b.model.Params() }

// State is part of training.Objective: moving averages and queues. The place in
// the queue, alpha and the draws are functions of the step.
func (b *BLIP) State() []optim.Tensor {
	if b.momentum == nil {
		return nil
	}
	return b.momentum.state()
}

// Step is part of training.Objective. Metrics: loss; of the parts that are built
// itc, temperature, alpha, itm, itm_accuracy and lm.
func (b *BLIP) Step(step int64, batch *training.Batch) (training.Metrics, error) {
	p, err := readPairs(b.model, b.options.Batch, batch)
	if err != nil {
		return nil, err
	}
	if err := b.feed(step, p, batch); err != nil {
		return nil, err
	}
	if err := b.graph.Run(); err != nil {
		return nil, err
	}
	return b.measure(step)
}

func (b *BLIP) feed(step int64, p pairs, batch *training.Batch) error {
	g, o := b.graph, b.options
	errs := []error{g.Feed(Images, p.images)}
	if o.ITC > 0 {
		errs = append(errs, feedText(g, b.model, p))
	}
	if b.momentum != nil {
		image, text, err := b.momentum.run(p)
		if err != nil {
			return err
		}
		errs = append(errs,
			g.FeedValue(momentumImage, image), g.FeedValue(momentumText, text),
			g.FeedValue(queueImage, b.momentum.image), g.FeedValue(queueText, b.momentum.text),
			g.Feed(alpha, []float32{float32(o.alpha(step))}))
	}
	if o.ITM > 0 {
		var given []int32
		if batch.HasInt32s(Groups) {
			var err error
			if given, err = batch.ReadInt32s(Groups, o.Batch); err != nil {
				return err
			}
		}
		errs = append(errs, b.feedMatching(step, p, given))
	}
	if o.LM > 0 {
		errs = append(errs, b.feedCaptions(p))
	}
	return errors.Join(errs...)
}

func (b *BLIP) feedMatching(step int64, p pairs, given []int32) error {
	g, n := b.graph, b.options.Batch
	r := rand.New(rand.NewPCG(b.options.Seed, uint64(step)))
	draws := make([]float32, 2*n)
	for i := range draws {
		draws[i] = r.Float32()
	}
	errs := []error{
		g.Feed(encoded, b.text.withFirst(p.tokens, n, b.model.Config.Text.Special.ENC)),
		g.Feed(drawTexts, draws[:n]), g.Feed(drawImages, draws[n:]),
		g.Feed(Groups, GroupRows(p.tokens, n, given)),
	}
	if b.options.ITC == 0 {
		errs = append(errs, g.Feed(Lengths, p.lengths))
	}
	return errors.Join(errs...)
}

func (b *BLIP) feedCaptions(p pairs) error {
	return errors.Join(
		b.graph.Feed(decoded, b.text.withFirst(p.tokens, b.options.Batch, b.model.Config.Text.Special.BOS)),
		b.graph.Feed(Targets, b.text.captionTargets(p, b.options.Prompt)))
}

func (b *BLIP) measure(step int64) (training.Metrics, error) {
	m := training.Metrics{}
	names := []string{training.LossKey}
	if b.options.ITC > 0 {
		names = append(names, "itc")
		t, err := device.ReadFloats(b.model.Backend(), b.model.Param("temperature").Value)
		if err != nil {
			return nil, err
		}
		m["temperature"] = float64(t[0])
	}
	if b.momentum != nil {
		m["alpha"] = b.options.alpha(step)
	}
	if b.options.ITM > 0 {
		names = append(names, "itm")
		logits, err := b.graph.Read(matchLogits)
		if err != nil {
			return nil, err
		}
		m["itm_accuracy"] = matchAccuracy(logits, b.options.Batch)
	}
	if b.options.LM > 0 {
		names = append(names, "lm")
	}
	for _, name := range names {
		v, err := scalar(b.graph, name)
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

// Updated is part of training.Objective.
func (b *BLIP) Updated(step int64) error {
	if b.options.ITC > 0 {
		b.model.Backend().Clamp(b.model.Param("temperature").Value, 0.001, 0.5)
	}
	if b.momentum == nil {
		return nil
	}
	if b.options.MomentumRamp {
		b.momentum.ema.UpdateRamped(step)
	} else {
		b.momentum.ema.Update()
	}
	image, err := b.graph.Value(imageKeys)
	if err != nil {
		return err
	}
	text, err := b.graph.Value(textKeys)
	if err != nil {
		return err
	}
	b.momentum.enqueue(step, image, text)
	return nil
}

// RateShare is part of training.Rated. The temperature is a small number that is
// trained as it is: with a tenth of the rate its steps stay small beside it, as
// those of a logarithmic scale would.
func (b *BLIP) RateShare(p *graph.Param) float64 {
	if p == b.model.Param("temperature") {
		return 0.1
	}
	return 1
}

// StepFLOPs is part of training.Costed.
func (b *BLIP) StepFLOPs() float64 {
	f, o := b.model.Config.FLOPs(), b.options
	var per float64
	if !o.FreezeVision {
		per += 3 * f.Image
	} else {
		per += f.Image
	}
	if o.ITC > 0 {
		per += 3 * f.Text
	}
	if b.momentum != nil {
		per += f.Image + f.Text
	}
	if o.ITM > 0 || o.LM > 0 {
		per += 3 * f.Memory
	}
	if o.ITM > 0 {
		per += 3 * 3 * f.Match
	}
	if o.LM > 0 {
		per += 3 * f.Decode
	}
	return float64(o.Batch) * per
}

// Memory is what the training graph uses on the device.
func (b *BLIP) Memory() graph.Memory { return b.graph.Memory() }

// Close frees the graphs. The model's parameters stay.
func (b *BLIP) Close() error {
	err := b.graph.Close()
	if b.momentum != nil {
		err = errors.Join(err, b.momentum.graph.Close())
	}
	return err
}
