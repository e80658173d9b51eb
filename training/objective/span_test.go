package objective

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/policy"
)

func (s *Spans) lossGraph() *graph.Graph    { return s.graphs[0].Graph }
func (l *PackedLM) lossGraph() *graph.Graph { return l.graphs[0].Graph }

// someTexts are texts of a prompt and a completion, which is a span; of each third one a token within does not count.
func someTexts(c model.Config, n int) []SpanText {
	r := rand.New(rand.NewPCG(4, 5))
	texts := make([]SpanText, n)
	for i := range texts {
		prompt, length := 1+r.IntN(2), 3+r.IntN(c.Text.Context-4)
		t := SpanText{Learn: make([]bool, length), Spans: []Span{{From: prompt, To: length}}}
		for k := range length {
			t.Tokens = append(t.Tokens, int32(r.IntN(c.Text.Vocab)))
			t.Learn[k] = k >= prompt && (i%3 != 0 || k != prompt)
		}
		texts[i] = t
	}
	return texts
}

// seenTexts are texts of someTexts behind pictures, which each two of them share.
func seenTexts(c model.Config, n int) []SpanText {
	texts := someTexts(c, n)
	r := rand.New(rand.NewPCG(6, 7))
	var picture []float32
	for i := range texts {
		t := &texts[i]
		if i%2 == 0 {
			picture = make([]float32, c.Vision.Pixels())
			for k := range picture {
				picture[k] = float32(r.NormFloat64())
			}
		}
		shown := c.ImageTokens()
		for k := range t.Tokens {
			t.Tokens[k] = min(t.Tokens[k], imageToken-1)
		}
		t.Pictures = [][]float32{picture}
		t.Tokens = append(slices.Repeat([]int32{imageToken}, shown), t.Tokens...)
		t.Learn = append(make([]bool, shown), t.Learn...)
		for k := range t.Spans {
			t.Spans[k].From, t.Spans[k].To = t.Spans[k].From+shown, t.Spans[k].To+shown
		}
	}
	return texts
}

// someSeen are texts for a model, behind pictures where it sees.
func someSeen(c model.Config, n int) []SpanText {
	if c.Kind == model.VLM {
		c.Text.Context -= c.ImageTokens()
		return seenTexts(c, n)
	}
	return someTexts(c, n)
}

// room is that of texts with a span each, and a little more.
func room(texts []SpanText) SpanShape {
	s := SpanShape{Texts: len(texts), Spans: 0, Tokens: 3}
	for _, t := range texts {
		if len(t.Pictures) > 0 {
			s.Pictures = len(texts)/2 + 1
		}
		s.Tokens += len(t.Tokens)
		s.Spans += len(t.Spans)
	}
	return s
}

// spanned is a batch of texts in parts of equal number, with what losses ask for.
func spanned(c model.Config, texts []SpanText, parts int) (*training.Batch, SpanShape) {
	b := &training.Batch{}
	n := len(texts) / parts
	var shape SpanShape
	var lists [][]SpanText
	for i := range parts {
		lists = append(lists, texts[i*n:(i+1)*n])
		s := room(lists[i])
		shape = SpanShape{Texts: max(shape.Texts, s.Texts), Spans: max(shape.Spans, s.Spans), Tokens: max(shape.Tokens, s.Tokens), Pictures: max(shape.Pictures, s.Pictures)}
	}
	if err := LaySpans(b, c, shape, lists...); err != nil {
		panic(err)
	}
	for i, name := range []string{Reference, Margin, Label} {
		x := b.Float32s(name, parts*shape.Spans)
		for k := range x {
			x[k] = []float32{-float32(k%4) / 8, float32(k%3) / 2, float32(k % 2)}[i]
		}
	}
	return b, shape
}

// spanObjectives are the objectives of spans that are held against finite differences.
func spanObjectives() map[string]differentiated {
	all := map[string]differentiated{}
	o := policy.PreferenceOptions{Beta: 0.4, Smoothing: 0.1, Gamma: 0.3, Desirable: 1, Undesired: 0.7}
	of := func(name string, c model.Config, score *model.Score, options SpanOptions) {
		c.Text.Form, c.Text.KVHeads, c.Score = model.Llama, 1, score
		options.Plan.Batch = 6
		all[name] = differentiated{config: c, build: func(m *model.Model) (differentiable, error) {
			_, shape := spanned(m.Config, someSeen(m.Config, 6), 1)
			return NewSpans(m, options, shape)
		}, batch: func(m *model.Model) *training.Batch {
			b, _ := spanned(m.Config, someSeen(m.Config, 6), 1)
			return b
		}}
	}
	add := func(name string, score *model.Score, options SpanOptions) { of(name, tinyOf(model.LM), score, options) }
	sigmoid, _ := policy.FindPreference("sigmoid")
	of("preferences about pictures", tinyVLM(model.SigLIPVision), nil, SpanOptions{Loss: Preference(sigmoid, o), Extra: []string{Reference}})
	of("a reward model that sees", tinyVLM(model.CLIPVision), &model.Score{}, SpanOptions{Readout: Scores, Loss: BradleyTerry(0.02), Extra: []string{Margin}, Plan: Plan{Checkpoint: true}})
	for _, loss := range policy.Preferences() {
		add("preferences by "+loss.Name, nil, SpanOptions{Loss: Preference(loss, o), Extra: []string{Reference}})
	}
	for name, s := range map[string]*model.Score{
		"the last score": {}, "a sum of scores": {Readout: model.SumOfScores, Scale: 0.3}, "the likelihood": {Readout: model.Likelihood, Scale: 0.5, Bias: 2},
	} {
		add("a reward model by "+name, s, SpanOptions{Readout: Scores, Loss: BradleyTerry(0.02), Extra: []string{Margin}})
		add("a verifier by "+name, s, SpanOptions{Readout: Scores, Loss: Labels(), Extra: []string{Label}, Plan: Plan{Checkpoint: true}})
	}
	all["lm with noise"] = differentiated{config: tinyOf(model.LM), step: 3, build: func(m *model.Model) (differentiable, error) {
		return NewTunedLM(m, TuneOptions{Noise: Noise{Alpha: 5, Seed: 1}}, PackedShape{Rows: rows, Context: context})
	}, batch: func(m *model.Model) *training.Batch {
		b := pairsOf(m, 1)
		copy(b.Int32s(Shape, 3), []int32{rows, int32(context), 0})
		return b
	}}
	all["lm with a teacher"] = differentiated{config: tinyOf(model.LM), build: func(m *model.Model) (differentiable, error) {
		c := tinyOf(model.LM)
		c.Width, c.Text.Form, c.Text.TieHead = 12, model.Llama, true
		teacher, err := model.New(m.Backend(), c, 9)
		if err != nil {
			return nil, err
		}
		o := TuneOptions{Teacher: &Teacher{Model: teacher, Temperature: 2, Weight: 0.7}}
		return NewTunedLM(m, o, PackedShape{Rows: rows, Context: context})
	}, batch: all["lm with noise"].batch}
	all["vlm with a teacher"] = differentiated{config: tinyVLM(model.CLIPVision), build: func(m *model.Model) (differentiable, error) {
		c := tinyVLM(model.SigLIPVision)
		c.Width = 12
		teacher, err := model.New(m.Backend(), c, 9)
		if err != nil {
			return nil, err
		}
		return NewVLM(m, VLMOptions{Plan: Plan{Batch: rows}, Teacher: &Teacher{Model: teacher, Temperature: 2, Weight: 0.7}})
	}, batch: func(m *model.Model) *training.Batch { return illustrated(m, nil) }}
	return all
}

func TestGradientsOfSpansAgreeWithFiniteDifferences(t *testing.T) {
	for name, d := range spanObjectives() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d.test(t)
		})
	}
}

// TestASpanIsReadOutAsIfItsTextWereAlone: in a batch of many, in one of another shape, and token by token.
func TestASpanIsReadOutAsIfItsTextWereAlone(t *testing.T) {
	for name, score := range map[string]*model.Score{
		"log-probabilities": nil, "of pictures": nil, "last": {}, "sum": {Readout: model.SumOfScores, Scale: 2}, "likelihood": {Readout: model.Likelihood, Scale: 0.5, Bias: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := reference.New()
			c := tinyOf(model.LM)
			if name == "of pictures" {
				c = tinyVLM(model.CLIPVision)
			}
			c.Text.Form, c.Score = model.Llama, score
			m, err := model.New(b, c, 3)
			require.NoError(t, err)
			kind := LogProbs
			if score != nil {
				kind = Scores
			}
			texts := someSeen(m.Config, 6)
			texts[2].Spans = append(texts[2].Spans, Span{}, Span{From: len(texts[2].Tokens) - 1, To: len(texts[2].Tokens)})
			batch, shape := spanned(m.Config, texts, 1)
			s, err := NewSpanScorer(m, kind, shape)
			require.NoError(t, err)
			together, tokens, err := s.Values(batch)
			require.NoError(t, err)
			require.Len(t, together, 8)
			require.Equal(t, 0, tokens[3], "an empty span has nothing")
			require.Zero(t, together[3])
			require.Equal(t, 1, tokens[4])
			require.NoError(t, s.Close())
			at := 0
			for i := range texts {
				alone, shape := spanned(m.Config, texts[i:i+1], 1)
				s, err := NewSpanScorer(m, kind, shape)
				require.NoError(t, err)
				values, counts, err := s.Values(alone)
				require.NoError(t, err)
				require.InDeltaSlice(t, values, together[at:at+len(values)], 1e-12)
				require.Equal(t, counts, tokens[at:at+len(counts)])
				require.NoError(t, s.Close())
				if score == nil {
					require.InDelta(t, logProb(t, m, texts[i]), values[0], 1e-6)
				}
				at += len(values)
			}
		})
	}
}

// logProb adds up the log-probabilities of a text's learned tokens by TokenLogProbs of the text alone.
func logProb(t *testing.T, m *model.Model, x SpanText) float64 {
	n := len(x.Tokens)
	targets := make([]int32, n)
	for i := range targets {
		targets[i] = device.IgnoreIndex
		if i+1 < n && x.Learn[i+1] {
			targets[i] = x.Tokens[i+1]
		}
	}
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		text := model.Texts{Tokens: g.Reshape(g.Ints(x.Tokens), 1, n)}
		if len(x.Pictures) > 0 {
			words, places, err := m.Config.PlaceImages(x.Tokens, m.Config.ImageTokens())
			require.NoError(t, err)
			text.Tokens, text.Slots = g.Reshape(g.Ints(words), 1, n), g.Reshape(g.Ints(places), 1, n)
			text.Patches = m.ProjectImages(g, m.VisionStates(g, imageInput(g, m, 1)))
		}
		states := m.Decode(g, text, nil).States
		g.Output("y", m.TokenLogProbs(g, states, g.Ints(targets), 1))
		return nil
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close()) }()
	if len(x.Pictures) > 0 {
		require.NoError(t, g.Feed(Images, x.Pictures[0]))
	}
	require.NoError(t, g.Run())
	y, err := g.Read("y")
	require.NoError(t, err)
	sum := 0.0
	for i := 0; i < len(y); i += 2 {
		sum += float64(y[i])
	}
	return sum
}

// TestPartsOfABatchOfSpansAreTheBatch: loss, metrics and gradients of two parts are those of one.
func TestPartsOfABatchOfSpansAreTheBatch(t *testing.T) {
	sigmoid, ok := policy.FindPreference("sigmoid")
	require.True(t, ok)
	run := func(parts int) (training.Metrics, []float64) {
		b := reference.New()
		m, err := model.New(b, tinyOf(model.LM), 3)
		require.NoError(t, err)
		texts := someTexts(m.Config, 8)
		batch, shape := spanned(m.Config, texts, parts)
		x := batch.Float32s(Reference, parts*shape.Spans)
		for i := range x {
			x[i] = -float32(i)
		}
		o, err := NewSpans(m, SpanOptions{
			Plan: Plan{Batch: 4, Accumulate: parts}, Loss: Preference(sigmoid, policy.PreferenceOptions{Beta: 0.3}), Extra: []string{Reference},
		}, shape)
		require.NoError(t, err)
		metrics, err := o.Step(0, batch)
		require.NoError(t, err)
		var gradients []float64
		for _, p := range m.Params() {
			if p.Trained() {
				gradients = append(gradients, b.Read(p.Grad)...)
			}
		}
		return metrics, gradients
	}
	whole, want := run(1)
	parts, got := run(2)
	require.InDeltaMapValues(t, map[string]float64(whole), map[string]float64(parts), 1e-6)
	require.InDeltaSlice(t, want, got, 1e-7)
	require.Contains(t, whole, "accuracy")
	require.Contains(t, whole, "kl")
}

func TestWrongBatchesOfSpans(t *testing.T) {
	b := reference.New()
	m, err := model.New(b, tinyOf(model.LM), 3)
	require.NoError(t, err)
	texts := someTexts(m.Config, 4)
	kto, ok := policy.FindPreference("kto")
	require.True(t, ok)
	_, shape := spanned(m.Config, texts, 1)
	_, err = NewSpans(m, SpanOptions{Plan: Plan{Batch: 4, Accumulate: 2}, Loss: Preference(kto, policy.PreferenceOptions{}), Unsplit: true}, shape)
	require.ErrorContains(t, err, "remove accumulate")
	_, err = NewSpans(m, SpanOptions{Plan: Plan{Batch: 4}, Readout: Scores}, shape)
	require.ErrorContains(t, err, "no score head")
	o, err := NewSpans(m, SpanOptions{Plan: Plan{Batch: 4}, Loss: Labels(), Extra: []string{Label}}, shape)
	require.NoError(t, err)

	other, _ := spanned(m.Config, texts[:2], 1)
	_, err = o.Step(0, other)
	require.ErrorContains(t, err, "which nothing was built for")
	long := SpanText{Tokens: make([]int32, context+1), Learn: make([]bool, context+1)}
	batch := &training.Batch{}
	require.NoError(t, LaySpans(batch, m.Config, shape, []SpanText{long}))
	_, err = o.Step(0, batch)
	require.ErrorContains(t, err, "the model's context is")
	require.ErrorContains(t, LaySpans(batch, m.Config, SpanShape{Texts: 1, Spans: 1, Tokens: 2}, texts[:1]), "do not fit")
	require.ErrorContains(t, LaySpans(batch, m.Config, SpanShape{Texts: 1, Spans: 9, Tokens: 400}, texts), "has 4 texts")
}

func TestRoomsHoldTheLargestBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var sizes []int
	for range 500 {
		sizes = append(sizes, 10+r.IntN(60))
	}
	rooms := SpanRooms(sizes, 16)
	require.Len(t, rooms, 3)
	fits := 0
	for range 1000 {
		sum := 0
		for range 16 {
			sum += sizes[r.IntN(len(sizes))]
		}
		require.LessOrEqual(t, sum, rooms[2])
		if sum <= rooms[0] {
			fits++
		}
	}
	require.Greater(t, fits, 700, "most batches take the smallest room")
	require.Equal(t, []int{16}, SpanRooms([]int{3, 4}, 2))
}

// TestNoiseIsBoundedByTheTextsLength and differs from step to step and from part to part.
func TestNoiseIsBoundedByTheTextsLength(t *testing.T) {
	const width = 8
	n := Noise{Alpha: 5, Seed: 2}
	s := noisyShape{tokens: 20, row: 10, width: width, ends: []int32{0, 4, 20, 20}}
	x := n.fill(nil, 3, 0, s)
	require.Len(t, x, 20*width)
	largest := func(x []float32) (m float64) {
		for _, v := range x {
			m = math.Max(m, math.Abs(float64(v)))
		}
		return m
	}
	for _, c := range []struct {
		x []float32
		l float64
	}{{x[:4*width], 4}, {x[4*width:], 16}} {
		bound := 5 / math.Sqrt(c.l*width)
		require.LessOrEqual(t, largest(c.x), bound)
		require.Greater(t, largest(c.x), 0.8*bound)
	}
	require.Equal(t, x, n.fill(nil, 3, 0, s))
	require.NotEqual(t, x, n.fill(nil, 4, 0, s))
	require.NotEqual(t, x, n.fill(nil, 3, 1, s))
}
