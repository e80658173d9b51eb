package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
	"tempera/training/optim"
)

// SpanValues are what a loss sees of a part of a batch: a number for each span, in the order of the texts, and how many tokens it is made of; 0
// of a span that is missing.
type SpanValues struct {
	Values []float64
	Tokens []int
	// Extra are the arrays that the loss asked for, one number per span.
	Extra map[string][]float32
}

// SpanLoss makes a mean loss of the spans of a part. It adds the gradient with respect to the values to grad, which is zero, and
// returns what is worth looking at. It must be a function of its arguments alone.
type SpanLoss func(v SpanValues, grad []float64) (float64, training.Metrics)

// SpanOptions configure Spans.
type SpanOptions struct {
	Plan    Plan // Batch is for predictions of memory; Accumulate is the number of a batch's parts; Lengths do not matter
	Readout Readout
	Loss    SpanLoss
	Extra   []string // arrays of floats of a batch, (parts, spans), that the loss takes
	// Unsplit says that the loss is no mean over spans, so that a batch must be of one part.
	Unsplit bool
}

// Spans trains a model by what is read out of it at spans of texts: log-probabilities of completions, or scores. The loss is a function on the host, see
// package policy. LaySpans makes its batches; the parts of one weigh as many spans as they have.
type Spans struct {
	model   *model.Model
	options SpanOptions
	readout readout
	graphs  shapedGraphs[SpanShape]
	arena   *graph.Arena
	load    *balancer
	turn    turn

	part    spanArrays // that is being computed
	extra   map[string][]float32
	metrics training.Metrics // of it
	step    SpanShape        // of the last step
}

var _ training.Objective = (*Spans)(nil)

// NewSpans builds the objective on a decoder for parts of the shapes.
func NewSpans(m *model.Model, o SpanOptions, shapes ...SpanShape) (*Spans, error) {
	o.Plan.Lengths = nil
	if err := o.Plan.Validate(); err != nil {
		return nil, fmt.Errorf("objective of spans: %w", err)
	}
	s := &Spans{model: m, options: o, arena: graph.NewArena(m.Backend()), load: newBalancer(m)}
	var err error
	if s.readout, err = readoutOf(m, o.Readout); err != nil {
		return nil, err
	}
	if o.Unsplit && o.Plan.parts() > 1 {
		return nil, errors.New("the loss looks at a whole batch: remove accumulate")
	}
	options := graph.Options{Train: true, Checkpoint: o.Plan.Checkpoint, Light: lowRank(m), Arena: s.arena}
	if s.graphs, err = buildSpans(m, s.readout, shapes, options, s.define); err != nil {
		return nil, fmt.Errorf("objective of spans: %w", err)
	}
	s.step = shapes[0]
	trainOnly(m, s.graphs.all()...)
	return s, nil
}

func readoutOf(m *model.Model, kind Readout) (readout, error) {
	r := readout{kind: kind}
	if m.Config.Kind != model.LM && m.Config.Kind != model.VLM {
		return r, fmt.Errorf("spans are read out of models of kind %s and %s: this one is of kind %s", model.LM, model.VLM, m.Config.Kind)
	}
	if kind == Scores {
		if m.Config.Score == nil {
			return r, errors.New("the model has no score head")
		}
		r.score = *m.Config.Score
	}
	return r, nil
}

// buildSpans makes a graph for each shape. finish defines what follows the readout's tensors and returns the loss, if there is one.
func buildSpans(m *model.Model, r readout, shapes []SpanShape, o graph.Options, finish func(g *graph.Graph, d model.Decoded, in []*graph.Node) *graph.Node) (shapedGraphs[SpanShape], error) {
	if len(shapes) == 0 {
		return nil, errors.New("batches have no shape")
	}
	var graphs shapedGraphs[SpanShape]
	for _, s := range shapes {
		if err := s.Validate(); err != nil {
			return nil, err
		}
		g, err := graph.Build(m.Backend(), o, func(g *graph.Graph) *graph.Node {
			in := inlineInput(g, m, inlineRoom{s.Tokens, s.ends(), s.Pictures})
			d := in.decode(g, m)
			return finish(g, d, r.tokens(m, g, d.States, in.targets))
		})
		if err != nil {
			return nil, errors.Join(err, graphs.close())
		}
		graphs = append(graphs, shapedGraph[SpanShape]{g, s})
	}
	return graphs, nil
}

// define hosts the loss.
func (s *Spans) define(g *graph.Graph, d model.Decoded, in []*graph.Node) *graph.Node {
	s.load.declare(g, d)
	loss := op.HostLoss(g, "spans", s.loss, in...)
	g.Output(training.LossKey, loss)
	if s.options.Plan.parts() > 1 {
		g.Seed(share, loss)
	}
	return loss
}

// loss is that of the part that is being computed.
func (s *Spans) loss(in, grad [][]float64) float64 {
	v := SpanValues{Values: s.readout.values(in, s.part), Tokens: count(s.part), Extra: s.extra}
	d := make([]float64, len(v.Values))
	loss, metrics := s.options.Loss(v, d)
	s.metrics = metrics
	s.readout.back(in, grad, s.part, d)
	return loss
}

// Params is part of training.Objective.
func (s *Spans) Params() []*graph.Param { return s.model.Params() }

// State is part of training.Objective: there is none.
func (s *Spans) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, and those of the loss.
func (s *Spans) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	shape, parts, a, err := readSpans(b, s.model.Config)
	if err != nil {
		return nil, err
	}
	if parts != s.options.Plan.parts() {
		return nil, fmt.Errorf("the batch has %d parts, want %d", parts, s.options.Plan.parts())
	}
	g, err := s.graphs.of(shape)
	if err != nil {
		return nil, err
	}
	s.step = shape
	extra := map[string][]float32{}
	for _, name := range s.options.Extra {
		if extra[name], err = b.ReadFloat32s(name, parts*shape.Spans); err != nil {
			return nil, err
		}
	}
	metrics := training.Metrics{}
	for i, weight := range s.turn.own(spanShares(a, parts)) {
		if weight == 0 {
			continue
		}
		s.extra = map[string][]float32{}
		for name, x := range extra {
			s.extra[name] = x[i*shape.Spans : (i+1)*shape.Spans]
		}
		loss, err := s.run(g, a.part(i, parts), weight)
		if err != nil {
			return nil, err
		}
		metrics.Add(s.metrics, weight)
		metrics[training.LossKey] += weight * loss
	}
	s.load.measure(metrics)
	return metrics, nil
}

// run does a part whose weight in the batch is given.
func (s *Spans) run(g shapedGraph[SpanShape], a spanArrays, weight float64) (float64, error) {
	s.part = a
	err := a.feed(g.Graph)
	if s.options.Plan.parts() > 1 {
		err = errors.Join(err, g.Feed(share, []float32{float32(weight)}))
	}
	if err := errors.Join(err, g.Run()); err != nil {
		return 0, err
	}
	if err := s.load.count(g.Graph); err != nil {
		return 0, err
	}
	return scalar(g.Graph, training.LossKey)
}

func (a spanArrays) feed(g *graph.Graph) error {
	err := errors.Join(g.Feed(Tokens, a.tokens), g.Feed(Targets, a.targets), g.Feed(Positions, a.positions), g.Feed(Ends, a.ends))
	if len(a.pixels) == 0 {
		return err
	}
	return errors.Join(err, g.Feed(slots, a.slots), g.Feed(Images, a.pixels))
}

// spanShares are the parts' shares of the spans. One part has the whole.
func spanShares(a spanArrays, parts int) []float64 {
	shares, all := make([]float64, parts), 0.0
	n := len(a.bounds) / parts
	for i := 0; i < len(a.bounds); i += 2 {
		if a.bounds[i+1] > a.bounds[i] {
			shares[i/n]++
			all++
		}
	}
	for i := range shares {
		shares[i] /= max(1, all)
	}
	if parts == 1 {
		shares[0] = 1
	}
	return shares
}

// Updated is part of training.Objective: experts are balanced.
func (s *Spans) Updated(int64) error { return s.load.update() }

// Take is part of parallel.Replica.
func (s *Spans) Take(first, of int) (err error) {
	s.turn, err = s.options.Plan.turns(first, of)
	return err
}

// Gather is part of parallel.Replica.
func (s *Spans) Gather(other training.Objective, m training.Metrics) {
	s.load.gather(other.(*Spans).load, m)
}

// StepFLOPs is part of training.Costed: those of the last step. Texts count as if each were of their mean length.
func (s *Spans) StepFLOPs() float64 {
	c := s.model.Config
	c.Text.Context = max(1, s.step.Tokens/s.step.Texts)
	f, parts := c.FLOPs(), float64(s.options.Plan.parts())
	return 3 * parts * (float64(s.step.Texts)*f.Decode + float64(s.step.Pictures)*(f.Image+f.Project))
}

// Needs is part of training.Sized. A batch of another size has texts, spans and tokens in proportion.
func (s *Spans) Needs(batch int) (training.Needs, error) {
	c := s.model.Config
	bytes := 12 * c.Text.Context
	if c.Kind == model.VLM {
		bytes += 4 * c.Vision.Pixels()
	}
	return needsOf(s.options.Plan, batch, bytes, func(p Plan) (sized, error) {
		o, shapes := s.options, make([]SpanShape, len(s.graphs))
		of := func(n int) int { return max(2, (n*p.Batch+o.Plan.Batch-1)/o.Plan.Batch) }
		for i, g := range s.graphs {
			shapes[i] = SpanShape{Texts: of(g.shape.Texts), Spans: of(g.shape.Spans), Tokens: of(g.shape.Tokens), Pictures: (g.shape.Pictures*p.Batch + o.Plan.Batch - 1) / o.Plan.Batch}
		}
		o.Plan.Batch = p.Batch
		return NewSpans(s.model, o, shapes...)
	})
}

// Memory is what a step uses on the device.
func (s *Spans) Memory() graph.Memory { return graph.Together(s.graphs.all()...) }

// Close frees the graphs. The model's parameters stay.
func (s *Spans) Close() error { return s.graphs.close() }
