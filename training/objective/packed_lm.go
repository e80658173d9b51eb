package objective

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// PackedShape is the shape of a batch of packed texts, see datagen/pack.
type PackedShape struct {
	Rows, Context int
	// Ends is the length of the array Ends; 0: rows are whole, and a token sees all
	// before it in its row.
	Ends int
}

// PackedLM trains a language model on batches of documents that share rows: the
// mean cross-entropy of each token given those before it in its document. The
// shapes of batches may change from step to step, as a curriculum's do. A batch
// has tokens and targets, both int32 (B, T), the target of a token being the one
// after it, or device.IgnoreIndex; shape, three int32; and where its shape has
// ends, positions (B, T) and ends.
type PackedLM struct {
	model   *model.Model
	plan    Plan
	graphs  shapedGraphs[PackedShape]
	arena   *graph.Arena
	options TuneOptions
	turn    turn
	step    PackedShape // of the last step
	ends    []int32     // of a micro-batch
	drawn   []float32   // its noise
}

var _ training.Objective = (*PackedLM)(nil)

// NewPackedLM builds the objective on an lm model for batches of the shapes. Of the
// plan, Batch and Lengths do not matter.
func NewPackedLM(m *model.Model, p Plan, shapes ...PackedShape) (*PackedLM, error) {
	return NewTunedLM(m, TuneOptions{Plan: p}, shapes...)
}

// NewTunedLM is NewPackedLM with what fine-tuning adds.
func NewTunedLM(m *model.Model, o TuneOptions, shapes ...PackedShape) (*PackedLM, error) {
	p := o.Plan
	l := &PackedLM{model: m, plan: p, options: o, arena: graph.NewArena(m.Backend())}
	if err := o.Teacher.prepare(m); err != nil {
		return nil, fmt.Errorf("lm objective: %w", err)
	}
	if m.Config.Kind != model.LM {
		return nil, fmt.Errorf("lm objective: the model is of kind %s", m.Config.Kind)
	}
	if len(shapes) == 0 {
		return nil, errors.New("lm objective: batches have no shape")
	}
	l.step = shapes[0]
	for _, s := range shapes {
		if _, err := l.graphs.of(s); err == nil { // there is one
			continue
		}
		part := p
		part.Batch, part.Lengths = s.Rows, nil
		err := part.Validate()
		var g *graph.Graph
		if err == nil {
			rows := s
			rows.Rows = part.rows()
			g, err = packed{m, rows, p.parts(), o}.build(graph.Options{Train: true, Checkpoint: p.Checkpoint, Light: lowRank(m), Arena: l.arena})
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lm objective: %w", err), l.Close())
		}
		l.graphs = append(l.graphs, shapedGraph[PackedShape]{g, s})
	}
	trainOnly(m, l.graphs.all()...)
	return l, nil
}

// packed is the computation of one shape.
type packed struct {
	model *model.Model
	shape PackedShape
	parts int // of a batch; its loss has a share in that of the batch where there are several
	tune  TuneOptions
}

func (p packed) build(o graph.Options) (*graph.Graph, error) {
	m, s := p.model, p.shape
	if s.Context > m.Config.Text.Context {
		return nil, fmt.Errorf("rows of %d tokens exceed the model's context of %d", s.Context, m.Config.Text.Context)
	}
	return graph.Build(m.Backend(), o, func(g *graph.Graph) *graph.Node {
		texts := model.Texts{Tokens: g.Input(Tokens, device.Int32, s.Rows, s.Context)}
		if s.Ends > 0 {
			texts.Positions = g.Input(Positions, device.Int32, s.Rows, s.Context)
			texts.Ends = g.Input(Ends, device.Int32, s.Ends)
		}
		if p.tune.Noise.Alpha > 0 {
			texts.Noise = g.Input(noiseInput, device.Float32, s.Rows, s.Context, m.Config.Text.Width)
		}
		targets := g.Input(Targets, device.Int32, s.Rows, s.Context)
		states := m.Decode(g, texts, nil).States
		loss := m.TokenLoss(g, states, targets, 0)
		if p.tune.Teacher != nil {
			plain := texts
			plain.Noise = nil
			read := func(m *model.Model) *graph.Node { return m.Decode(g, plain, nil).States }
			loss = p.tune.Teacher.teach(g, lessonText{m, read, states, targets, loss})
		}
		g.Output(training.LossKey, loss)
		if p.parts > 1 {
			g.Seed(share, loss)
		}
		return loss
	})
}

// Params is part of training.Objective.
func (l *PackedLM) Params() []*graph.Param { return l.model.Params() }

// State is part of training.Objective: there is none.
func (l *PackedLM) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, and with a teacher divergence
// and cross_entropy.
func (l *PackedLM) Step(step int64, b *training.Batch) (training.Metrics, error) {
	g, err := l.of(b)
	if err != nil {
		return nil, err
	}
	l.step = g.shape
	t, err := readTexts(l.model, g.shape, b)
	if err != nil {
		return nil, err
	}
	metrics := training.Metrics{training.LossKey: 0}
	for i, s := range l.turn.own(shares(t.targets, l.plan.parts())) {
		if s == 0 {
			continue
		}
		part := t
		if l.plan.parts() > 1 {
			part = l.part(t, i)
			if err := g.Feed(share, []float32{float32(s)}); err != nil {
				return nil, err
			}
		}
		if err := l.disturb(g, part, step, i); err != nil {
			return nil, err
		}
		if err := errors.Join(part.feed(g.Graph), g.Run()); err != nil {
			return nil, err
		}
		for _, name := range l.options.Teacher.measured() {
			v, err := scalar(g.Graph, name)
			if err != nil {
				return nil, err
			}
			metrics[name] += s * v
		}
	}
	return metrics, nil
}

// disturb feeds the noise of micro-batch i, where there is any.
func (l *PackedLM) disturb(g shapedGraph[PackedShape], t packedTexts, step int64, i int) error {
	if l.options.Noise.Alpha == 0 {
		return nil
	}
	s := noisyShape{tokens: len(t.tokens), row: g.shape.Context, width: l.model.Config.Text.Width, ends: t.ends}
	l.drawn = l.options.Noise.fill(l.drawn, step, i, s)
	return g.Feed(noiseInput, l.drawn)
}

// of finds the graph of a batch.
func (l *PackedLM) of(b *training.Batch) (g shapedGraph[PackedShape], err error) {
	v, err := b.ReadInt32s(Shape, 3)
	if err != nil {
		return g, err
	}
	return l.graphs.of(PackedShape{int(v[0]), int(v[1]), int(v[2])})
}

// part is micro-batch i, whose rows are whole, so that its documents are too.
func (l *PackedLM) part(t packedTexts, i int) packedTexts {
	n := len(t.tokens) / l.plan.parts()
	lo, hi := int32(i*n), int32((i+1)*n)
	p := packedTexts{tokens: t.tokens[lo:hi], targets: t.targets[lo:hi]}
	if t.ends == nil {
		return p
	}
	p.positions = t.positions[lo:hi]
	l.ends = slices.Grow(l.ends[:0], len(t.ends))
	for _, e := range t.ends { // those outside become empty documents at either end
		l.ends = append(l.ends, min(max(e, lo), hi)-lo)
	}
	p.ends = l.ends
	return p
}

// packedTexts are the arrays of a batch, checked; positions and ends are nil where
// rows are whole.
type packedTexts struct{ tokens, targets, positions, ends []int32 }

func readTexts(m *model.Model, s PackedShape, b *training.Batch) (t packedTexts, err error) {
	n, vocab := s.Rows*s.Context, m.Config.Text.Vocab
	if t.tokens, err = b.ReadInt32s(Tokens, n); err != nil {
		return t, err
	}
	if t.targets, err = b.ReadInt32s(Targets, n); err != nil {
		return t, err
	}
	if err := errors.Join(checkIDs(t.tokens, vocab), checkTargets(t.targets, vocab)); err != nil || s.Ends == 0 {
		return t, err
	}
	if t.positions, err = b.ReadInt32s(Positions, n); err != nil {
		return t, err
	}
	if t.ends, err = b.ReadInt32s(Ends, s.Ends); err != nil {
		return t, err
	}
	return t, t.check(s)
}

// check looks at what kernels do not.
func (t packedTexts) check(s PackedShape) error {
	for i, p := range t.positions {
		if p < 0 || int(p) >= s.Context {
			return fmt.Errorf("position %d of the batch is %d, outside the row of %d", i, p, s.Context)
		}
	}
	var last int32
	for i, e := range t.ends {
		if e < last || i == 0 && e != 0 || int(e) > len(t.tokens) {
			return fmt.Errorf("end %d of the batch is %d after %d, of %d tokens", i, e, last, len(t.tokens))
		}
		last = e
	}
	if int(last) != len(t.tokens) {
		return fmt.Errorf("the documents of the batch end at %d of %d tokens", last, len(t.tokens))
	}
	return nil
}

func (t packedTexts) feed(g *graph.Graph) error {
	err := errors.Join(g.Feed(Tokens, t.tokens), g.Feed(Targets, t.targets))
	if t.ends == nil {
		return err
	}
	return errors.Join(err, g.Feed(Positions, t.positions), g.Feed(Ends, t.ends))
}

// Updated is part of training.Objective.
func (l *PackedLM) Updated(int64) error { return nil }

// Take is part of parallel.Replica.
func (l *PackedLM) Take(first, of int) (err error) {
	l.turn, err = l.plan.turns(first, of)
	return err
}

// Gather is part of parallel.Replica: nothing is counted.
func (l *PackedLM) Gather(training.Objective, training.Metrics) {}

// StepFLOPs is part of training.Costed: those of the last step. Attention counts
// as if rows were whole.
func (l *PackedLM) StepFLOPs() float64 {
	c := l.model.Config
	c.Text.Context = l.step.Context
	return 3*float64(l.step.Rows)*c.FLOPs().Decode + float64(l.step.Rows)*l.options.Teacher.flops(l.step.Context)
}

// Needs is part of training.Sized. All shapes get as many rows.
func (l *PackedLM) Needs(batch int) (training.Needs, error) {
	return needsOf(l.plan, batch, 12*l.model.Config.Text.Context, func(p Plan) (sized, error) {
		var shapes []PackedShape
		for _, g := range l.graphs {
			s := g.shape
			s.Rows = p.Batch
			shapes = append(shapes, s)
		}
		o := l.options
		o.Plan = p
		return NewTunedLM(l.model, o, shapes...)
	})
}

// Memory is what a step uses on the device.
func (l *PackedLM) Memory() graph.Memory { return graph.Together(l.graphs.all()...) }

// Close frees the graphs. The model's parameters stay.
func (l *PackedLM) Close() error { return l.graphs.close() }
