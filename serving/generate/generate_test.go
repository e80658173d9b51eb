package generate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/model"
)

func newEngine(t testing.TB, threads int) *kernel.Engine {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: threads})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func config(kind model.Kind, tie bool) model.Config {
	c := model.Config{Kind: kind, Width: 32, Text: model.Text{Vocab: 53, Context: 12, Layers: 2, TieHead: tie}}
	if kind == model.BLIP {
		c.Vision = model.Vision{Image: 12, Patch: 4, Width: 24, Heads: 2}
	}
	return c.Resolve()
}

// weights are random and large, so that texts differ and end.
func weights(t testing.TB, b device.Backend, c model.Config) *model.Weights {
	t.Helper()
	m, err := model.New(b, c, 1)
	require.NoError(t, err)
	w, err := m.Weights()
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range c.Params() {
		v, err := w.Get(s.Name)
		require.NoError(t, err)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.4
		}
		if s.Name == "text.head.bias" {
			v[c.Text.Special.EOS] += 4
		}
	}
	return w
}

type fixture struct {
	config  model.Config
	weights *model.Weights
	backend device.Backend
	decoder *Decoder
}

func newFixture(t testing.TB, c model.Config, o Options) fixture {
	t.Helper()
	e := newEngine(t, 2)
	f := fixture{config: c, backend: device.NewCPU(e)}
	f.weights = weights(t, f.backend, c)
	var err error
	f.decoder, err = New(e, c, f.weights.Get, o)
	require.NoError(t, err)
	return f
}

func (f fixture) image(seed uint64) []float32 {
	if f.config.Kind == model.LM {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([]float32, f.config.Vision.Tokens()*f.config.Vision.Width)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func (f fixture) generate(t testing.TB, r ...Request) []Result {
	t.Helper()
	out, err := f.decoder.Generate(context.Background(), r)
	require.NoError(t, err)
	return out
}

// graphLogProbs is the log-probability of each token after the first under the training graph.
func (f fixture) graphLogProbs(t *testing.T, image []float32, tokens []int32) []float64 {
	t.Helper()
	m, err := model.Load(f.backend, f.weights)
	require.NoError(t, err)
	g, err := graph.Build(f.backend, graph.Options{}, func(g *graph.Graph) *graph.Node {
		ids := g.Input("ids", device.Int32, 1, len(tokens))
		var memory model.Memory
		if image != nil {
			memory = m.Memory(g, g.Input("image", device.Float32, 1, f.config.Vision.Tokens(), f.config.Vision.Width))
		}
		g.Output("logits", m.TokenLogits(g, m.DecoderStates(g, ids, memory)))
		return nil
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close()) }()
	require.NoError(t, g.Feed("ids", tokens))
	if image != nil {
		require.NoError(t, g.Feed("image", image))
	}
	require.NoError(t, g.Run())
	logits, err := g.Read("logits")
	require.NoError(t, err)
	v := f.config.Text.Vocab
	var out []float64
	for i, id := range tokens[1:] {
		row := logits[i*v : (i+1)*v]
		var sum float64
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		out = append(out, float64(row[id])-math.Log(sum))
	}
	return out
}

func TestLogProbabilitiesEqualTheTrainingGraphs(t *testing.T) {
	for _, c := range []model.Config{config(model.BLIP, false), config(model.BLIP, true), config(model.LM, false)} {
		for name, s := range map[string]Search{"greedy": {}, "beams": {Beams: 3, LengthPenalty: 1}, "nucleus": {Temperature: 1.5, TopP: 0.9}} {
			t.Run(fmt.Sprint(c.Kind, " tied ", c.Text.TieHead, " ", name), func(t *testing.T) {
				f := newFixture(t, c, Options{})
				prompt := []int32{1, 7, 30}
				for seed := range uint64(4) {
					image := f.image(seed)
					got := f.generate(t, Request{Image: image, Prompt: prompt, Seed: seed, Search: s})[0]
					tokens := append(slices.Clone(prompt), got.Tokens...)
					if got.Ended {
						tokens = append(tokens, c.Text.Special.EOS)
					}
					want := f.graphLogProbs(t, image, tokens)[len(prompt)-1:]
					require.Len(t, got.LogProbs, len(want))
					var sum float64
					for i, w := range want {
						require.InDelta(t, w, got.LogProbs[i], 1e-4, "token %d", i)
						sum += w
					}
					require.InDelta(t, sum, got.LogProb, 1e-3)
				}
			})
		}
	}
}

// requests are of all kinds and of different lengths.
func (f fixture) requests(n int) []Request {
	searches := []Search{{}, {Temperature: 1, TopP: 0.9}, {Temperature: 0.7, TopK: 5}, {Beams: 3, LengthPenalty: 0.7}, {Temperature: 2}}
	var out []Request
	for i := range n {
		out = append(out, Request{Image: f.image(uint64(i)), Prompt: []int32{1, 9, 8, 7}[:1+i%4], MaxTokens: i % 7, Seed: uint64(i), Search: searches[i%len(searches)], Suppress: []int32{0, 1, 3}})
	}
	return out
}

func TestARequestGivesTheSameBitsAloneAndInABatch(t *testing.T) {
	f := newFixture(t, config(model.BLIP, true), Options{Rows: 7})
	requests := f.requests(23)
	together := f.generate(t, requests...)
	for i, r := range requests {
		require.Equal(t, f.generate(t, r)[0], together[i], "request %d", i)
	}
	slices.Reverse(requests)
	again := f.generate(t, requests...)
	slices.Reverse(again)
	require.Equal(t, together, again)
	ends := map[bool]int{}
	for _, r := range together {
		ends[r.Ended]++
		require.NotContains(t, r.Tokens, int32(3))
	}
	require.Len(t, ends, 2, "some texts end by EOS, others by their length: %v", ends)
}

func TestTheNumberOfThreadsDoesNotMatter(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	want := f.generate(t, f.requests(9)...)
	for _, threads := range []int{1, 3} {
		d, err := New(newEngine(t, threads), f.config, f.weights.Get, Options{})
		require.NoError(t, err)
		got, err := d.Generate(context.Background(), f.requests(9))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestOneBeamIsGreedyAndMoreBeamsScoreNoWorse(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	better := 0
	for seed := range uint64(12) {
		r := Request{Image: f.image(seed)}
		greedy := f.generate(t, r)[0]
		r.Search.Beams = 1
		require.Equal(t, greedy, f.generate(t, r)[0])
		s := f.decoder.newSearch(r).(*sequence)
		one := &beams{sequence: s, live: make([]Result, 1)}
		require.Equal(t, greedy, drive(t, f, r, one))
		r.Search.Beams = 4
		if wide := f.generate(t, r)[0]; wide.LogProb > greedy.LogProb+1e-6 {
			better++
		}
	}
	require.Positive(t, better, "four beams find a likelier text than greedy search for some image")
}

// drive runs one search over a batch of its own.
func drive(t *testing.T, f fixture, r Request, s search) Result {
	t.Helper()
	b := &batch{d: f.decoder, requests: []Request{r}, results: make([]Result, 1), caches: f.decoder.newCaches(1, 1), active: []slot{{text: s}}}
	b.caches.see(0, r.Image)
	require.NoError(t, b.run(context.Background()))
	return b.results[0]
}

func TestALengthPenaltyFavoursLongerTexts(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	var short, long int
	for seed := range uint64(10) {
		r := Request{Image: f.image(seed), Search: Search{Beams: 4}}
		short += len(f.generate(t, r)[0].LogProbs)
		r.Search.LengthPenalty = 2
		long += len(f.generate(t, r)[0].LogProbs)
	}
	require.Greater(t, long, short)
}

func TestAnotherSeedDrawsAnotherText(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	texts := map[string]bool{}
	for seed := range uint64(10) {
		texts[fmt.Sprint(f.generate(t, Request{Image: f.image(1), Seed: seed, Search: Search{Temperature: 1}})[0].Tokens)] = true
	}
	require.Greater(t, len(texts), 5)
}

func TestBadRequestsAreReportedTogether(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	image := f.image(1)
	for _, c := range []struct {
		name, fault string
		request     Request
	}{
		{"an image of another size", "states", Request{Image: image[1:]}},
		{"a prompt as long as the context", "shorten", Request{Image: image, Prompt: make([]int32, 12)}},
		{"a prompt token outside the vocabulary", "ids run", Request{Image: image, Prompt: []int32{53}}},
		{"a suppressed token outside the vocabulary", "suppressed", Request{Image: image, Suppress: []int32{-1}}},
		{"negative max tokens", "max tokens", Request{Image: image, MaxTokens: -1}},
		{"beams and temperature", "either", Request{Image: image, Search: Search{Beams: 2, Temperature: 1}}},
		{"too many beams", "beams", Request{Image: image, Search: Search{Beams: 65}}},
		{"top-p above 1", "top-p", Request{Image: image, Search: Search{Temperature: 1, TopP: 1.5}}},
		{"top-p without temperature", "set a temperature", Request{Image: image, Search: Search{TopP: 0.5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.decoder.Generate(context.Background(), []Request{{Image: image}, c.request, {Image: nil}})
			require.ErrorContains(t, err, c.fault)
			require.ErrorContains(t, err, "request 1")
			require.ErrorContains(t, err, "request 2")
		})
	}
}

func TestADecoderNamesEveryMissingParameter(t *testing.T) {
	f := newFixture(t, config(model.BLIP, false), Options{})
	get := func(name string) ([]float32, error) {
		if name == "text.blocks.1.cross.kv.weight" {
			return nil, errors.New("no cross.kv")
		}
		v, err := f.weights.Get(name)
		if name == "text.norm.bias" {
			v = v[1:]
		}
		return v, err
	}
	_, err := New(newEngine(t, 1), f.config, get, Options{})
	require.ErrorContains(t, err, "no cross.kv")
	require.ErrorContains(t, err, "text.norm.bias has 31 values")
	_, err = New(newEngine(t, 1), config(model.CLIP, false), get, Options{})
	require.ErrorContains(t, err, "has no decoder")
}

func TestACancelledCallStops(t *testing.T) {
	f := newFixture(t, config(model.LM, false), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.decoder.Generate(ctx, []Request{{}})
	require.ErrorIs(t, err, context.Canceled)
}

func TestWeightsThatAreNotNumbersAreAnError(t *testing.T) {
	f := newFixture(t, config(model.LM, false), Options{})
	v, err := f.weights.Get("text.norm.weight")
	require.NoError(t, err)
	v[3] = float32(math.NaN())
	for _, s := range []Search{{}, {Beams: 2}, {Temperature: 1, TopP: 0.9}, {Temperature: 1, TopK: 3}} {
		_, err = f.decoder.Generate(context.Background(), []Request{{Search: s}})
		require.ErrorIs(t, err, errNoToken)
	}
}
