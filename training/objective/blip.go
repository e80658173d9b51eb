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
	graphs   buckets
	used     bucket    // by the last step
	momentum *momentum // nil: ITC is off, or within the batch
	text     textBuffers
	turn     turn
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
	if o.momentum() {
		var err error
		if b.momentum, err = newMomentum(m, o); err != nil {
			return nil, fmt.Errorf("blip objective: %w", err)
		}
	}
	return b, b.plan()
}

// plan builds the graphs.
func (b *BLIP) plan() error {
	m, o := b.model, b.options
	arena := graph.NewArena(m.Backend())
	var err error
	b.graphs, err = bucketSpec{
		backend: m.Backend(), plan: o.Plan, context: m.Config.Text.Context,
		options: graph.Options{Train: true, Checkpoint: o.Checkpoint, Arena: arena},
		define:  func(g *graph.Graph, tokens int) *graph.Node { return defineBLIP(g, m, o, tokens) },
	}.build()
	if err != nil {
		return fmt.Errorf("blip objective: %w", err)
	}
	trainOnly(m, b.graphs.graphs()...)
	if b.momentum == nil {
		return nil
	}
	if err := b.momentum.plan(o, arena); err != nil {
		return errors.Join(fmt.Errorf("blip objective: %w", err), b.graphs.Close())
	}
	return nil
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
	groups, err := b.groups(p, batch)
	if err != nil {
		return nil, err
	}
	total := training.Metrics{}
	n := b.options.parts()
	for i, s := range b.turn.own(b.shares(p)) {
		if s == 0 {
			continue
		}
		part := p.part(i, n)
		b.used = b.graphs.of(part.longest())
		if err := errors.Join(b.feed(step, part.cut(b.used.tokens), groups), b.feedShare(s), b.used.Run()); err != nil {
			return nil, err
		}
		m, err := b.measure(step)
		if err != nil {
			return nil, err
		}
		total.Add(m, s)
	}
	return total, nil
}

// shares are the parts of the micro-batches in the loss.
func (b *BLIP) shares(p pairs) []float64 {
	if n := b.options.parts(); n > 1 { // captioning alone
		return shares(b.text.captionTargets(p, b.options.Prompt), n)
	}
	return []float64{1}
}

func (b *BLIP) feedShare(s float64) error {
	if b.options.parts() == 1 {
		return nil
	}
	return b.used.Feed(share, []float32{float32(s)})
}

// groups tells which rows are no negatives of each other; nil where there is no matching.
func (b *BLIP) groups(p pairs, batch *training.Batch) ([]int32, error) {
	if b.options.ITM == 0 {
		return nil, nil
	}
	var given []int32
	if batch.HasInt32s(Groups) {
		var err error
		if given, err = batch.ReadInt32s(Groups, b.options.Batch); err != nil {
			return nil, err
		}
	}
	return GroupRows(p.tokens, b.options.Batch, given), nil
}

func (b *BLIP) feed(step int64, p pairs, groups []int32) error {
	g, o := b.used, b.options
	var errs []error
	if b.momentum != nil { // first: it runs in the memory of the training graph
		image, text, err := b.momentum.run(p)
		if err != nil {
			return err
		}
		errs = append(errs,
			g.FeedValue(momentumImage, image), g.FeedValue(momentumText, text),
			g.FeedValue(queueImage, b.momentum.image), g.FeedValue(queueText, b.momentum.text),
			g.Feed(alpha, []float32{float32(o.alpha(step))}))
	}
	errs = append(errs, g.Feed(Images, p.images))
	if o.ITC > 0 {
		errs = append(errs, feedText(g.Graph, b.model, p))
	}
	if o.ITM > 0 {
		errs = append(errs, b.feedMatching(step, p, groups))
	}
	if o.LM > 0 {
		errs = append(errs, b.feedCaptions(p))
	}
	return errors.Join(errs...)
}

func (b *BLIP) feedMatching(step int64, p pairs, groups []int32) error {
	g, n := b.used, b.options.Batch
	r := rand.New(rand.NewPCG(b.options.Seed, uint64(step)))
	draws := make([]float32, 2*n)
	for i := range draws {
		draws[i] = r.Float32()
	}
	errs := []error{
		g.Feed(encoded, b.text.withFirst(p.tokens, n, b.model.Config.Text.Special.ENC)),
		g.Feed(drawTexts, draws[:n]), g.Feed(drawImages, draws[n:]),
		g.Feed(Groups, groups),
	}
	if b.options.ITC == 0 {
		errs = append(errs, g.Feed(Lengths, p.lengths))
	}
	return errors.Join(errs...)
}

func (b *BLIP) feedCaptions(p pairs) error {
	return errors.Join(
		b.used.Feed(decoded, b.text.withFirst(p.tokens, b.options.rows(), b.model.Config.Text.Special.BOS)),
		b.used.Feed(Targets, b.text.captionTargets(p, b.options.Prompt)))
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
		logits, err := b.used.Read(matchLogits)
		if err != nil {
			return nil, err
		}
		m["itm_accuracy"] = matchAccuracy(logits, b.options.Batch)
	}
	if b.options.LM > 0 {
		names = append(names, "lm")
	}
	for _, name := range names {
		v, err := scalar(b.used.Graph, name)
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
	image, err := b.used.Value(imageKeys)
	if err != nil {
		return err
	}
	text, err := b.used.Value(textKeys)
	if err != nil {
		return err
	}
	b.momentum.enqueue(step, image, text)
	return nil
}

// Take is part of parallel.Replica. Captioning alone can be shared: what contrasts and matches has one micro-batch.
func (b *BLIP) Take(first, of int) (err error) {
	b.turn, err = b.options.turns(first, of)
	return err
}

// Gather is part of parallel.Replica: nothing is counted.
func (b *BLIP) Gather(training.Objective, training.Metrics) {}

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

// Needs is part of training.Sized.
func (b *BLIP) Needs(batch int) (training.Needs, error) {
	o := b.options
	o.Queue = o.Queue / o.Batch * batch
	return needsOf(o.Plan, batch, pairBytes(b.model), func(p Plan) (sized, error) {
		o.Plan = p
		planned := &BLIP{model: b.model, options: o}
		if b.momentum != nil {
			planned.momentum = &momentum{model: b.momentum.model}
		}
		return planned, planned.plan()
	})
}

// Memory is what a step uses on the device.
func (b *BLIP) Memory() graph.Memory {
	gs := b.graphs.graphs()
	if b.momentum != nil {
		gs = append(gs, b.momentum.graphs.graphs()...)
	}
	return graph.Together(gs...)
}

// Close frees the graphs. The model's parameters stay.
func (b *BLIP) Close() error {
	err := b.graphs.Close()
	if b.momentum != nil {
		err = errors.Join(err, b.momentum.graphs.Close())
	}
	return err
}
