package generate

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/network"
	"tempera/serving/page"
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

// text is a tiny decoder whose context is longer than two pages.
func textConfig() model.Text {
	return model.Text{Vocab: 53, Context: 80, Layers: 2}
}

// forms are tiny models of every structure that decodes.
func forms() map[string]model.Config {
	blip := model.Config{Kind: model.BLIP, Width: 32, Text: textConfig(), Vision: model.Vision{Image: 12, Patch: 4, Width: 24, Heads: 2}}
	tied := blip
	tied.Text.TieHead = true
	gpt2 := model.Config{Kind: model.LM, Width: 32, Text: textConfig()}
	gpt2.Text.TieHead = true
	llama := model.Config{Kind: model.LM, Width: 32, Text: textConfig()}
	llama.Text.Form, llama.Text.Heads, llama.Text.KVHeads = model.Llama, 4, 2
	llama3 := llama
	llama3.Text.Rope = model.Rope{Theta: 5e5, Scaling: model.Scaling{Type: model.Llama3Scaling, Factor: 8, OriginalContext: 20}}
	yarn := llama
	yarn.Text.Rope = model.Rope{Scaling: model.Scaling{Type: model.YaRN, Factor: 4, OriginalContext: 20}}
	wide := llama
	wide.Text.HeadWidth = 20
	qwen2 := llama
	qwen2.Text.Form, qwen2.Text.TieHead, qwen2.Text.KVHeads = model.Qwen2, true, 1
	experts := llama
	experts.Text.Experts = &model.Experts{Count: 5, Active: 2, Shared: 1, Hidden: 24, Dense: 1}
	adapted := qwen2
	adapted.LoRA = &model.LoRA{Rank: 3, Alpha: 5}
	vlm := llama
	vlm.Kind, vlm.Vision = model.VLM, model.Vision{Image: 8, Patch: 2, Width: 16, Layers: 1, Heads: 2}
	vlm.Text.Special.Image = 4
	all := map[string]model.Config{
		"vlm":  vlm,
		"blip": blip, "blip tied": tied, "gpt2": gpt2, "llama": llama, "llama with scaling": llama3, "llama with yarn": yarn,
		"llama with wide heads": wide, "qwen2": qwen2, "experts": experts, "low-rank changes": adapted,
	}
	for name, c := range all {
		all[name] = c.Resolve()
	}
	return all
}

// randomWeights are large, so that texts differ and end.
func randomWeights(t testing.TB, b device.Backend, c model.Config) *model.Weights {
	t.Helper()
	m, err := model.New(b, c, 1)
	require.NoError(t, err)
	w, err := m.Weights()
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range c.Params() {
		v, err := w.Get(s.Name)
		require.NoError(t, err)
		std := 0.4
		if strings.Contains(s.Name, "lora") {
			std = 0.1
		}
		for i := range v {
			v[i] = float32(r.NormFloat64() * std)
		}
		if s.Name == "text.head.bias" {
			v[c.Text.Special.EOS] += 4
		}
		if strings.HasSuffix(s.Name, "norm.weight") {
			for i := range v {
				v[i]++
			}
		}
	}
	return w
}

type fixture struct {
	config  model.Config
	weights *model.Weights
	backend device.Backend
	*Generator
}

func newFixture(t testing.TB, form string, o Options) fixture {
	t.Helper()
	return newFixtureOf(t, forms()[form], o)
}

func newFixtureOf(t testing.TB, c model.Config, o Options) fixture {
	t.Helper()
	e := newEngine(t, 2)
	f := fixture{config: c, backend: device.NewCPU(e)}
	f.weights = randomWeights(t, f.backend, c)
	f.Generator = f.with(t, e, o)
	return f
}

// with is another generator of the same weights.
func (f fixture) with(t testing.TB, e *kernel.Engine, o Options) *Generator {
	t.Helper()
	g, err := New(e, f.config, f.weights.Get, o)
	require.NoError(t, err)
	return g
}

func (f fixture) image(seed uint64) []float32 {
	if f.config.Kind != model.BLIP {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([]float32, f.config.Vision.Tokens()*f.config.Vision.Width)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func write(t testing.TB, g *Generator, r ...Request) []Result {
	t.Helper()
	out, err := g.Generate(context.Background(), r)
	require.NoError(t, err)
	require.Equal(t, g.pool.Total(), g.pool.Free(), "all pages come back")
	return out
}

func writeOne(t testing.TB, g *Generator, r Request) Text {
	t.Helper()
	return write(t, g, r)[0].Texts[0]
}

// requests are of all kinds and of different lengths.
func (f fixture) requests(n int) []Request {
	searches := []Search{
		{},
		{Temperature: 1, TopP: 0.9},
		{Temperature: 0.7, TopK: 5},
		{Beams: 3, LengthPenalty: 0.7},
		{Temperature: 2, RepetitionPenalty: 1.3, MinP: 0.01},
	}
	prompt := make([]int32, 50)
	for i := range prompt {
		prompt[i] = int32((i*i + 5) % 53)
	}
	var out []Request
	for i := range n {
		r := Request{
			Image: f.image(uint64(i)), Prompt: f.prompt(prompt[i%5 : i%5+1+(i*7)%30]...), MaxTokens: 1 + (i*5)%33, Seed: uint64(i),
			Search: searches[i%len(searches)], Suppress: []int32{0, 1, 3},
		}
		if r.Search.samples() {
			r.Samples = 1 + i%3
			r.PromptLogProbs = i%2 == 0
			r.Top = i % 4
		}
		out = append(out, r)
	}
	return out
}

// prompt is a prompt of ids; a vlm sees an image behind the second one.
func (f fixture) prompt(ids ...int32) []Part {
	if f.config.Kind != model.VLM || len(ids) < 3 {
		return Tokens(ids...)
	}
	r := rand.New(rand.NewPCG(8, 9))
	rows := make([]float32, f.config.ImageTokens()*f.config.Text.Width)
	for i := range rows {
		rows[i] = float32(r.NormFloat64())
	}
	return []Part{{Tokens: ids[:2]}, {Embeddings: rows}, {Tokens: ids[2:]}}
}

// graphLogProbs is the log-probability of each token after the first under the training graph; 0 for embeddings.
func (f fixture) graphLogProbs(t testing.TB, image []float32, text []Part) []float64 {
	t.Helper()
	m, err := model.Load(f.backend, f.weights)
	require.NoError(t, err)
	p := f.newPrompt(text, nil)
	n, w := len(p.ids), f.config.Text.Width
	slots := make([]int32, n)
	rows := int32(0)
	for i, id := range p.ids {
		slots[i] = -1
		if id < 0 {
			slots[i] = rows
			rows++
		}
	}
	inputs := map[string][]float32{}
	g, err := graph.Build(f.backend, graph.Options{}, func(g *graph.Graph) *graph.Node {
		texts := model.Texts{Tokens: g.Input("ids", device.Int32, 1, n)}
		if rows > 0 {
			inputs["patches"] = p.embeddings
			texts.Patches, texts.Slots = g.Input("patches", device.Float32, int(rows), w), g.Input("slots", device.Int32, 1, n)
		}
		var memory model.Memory
		if image != nil {
			inputs["image"] = image
			memory = m.Memory(g, g.Input("image", device.Float32, 1, f.config.Vision.Tokens(), f.config.Vision.Width))
		}
		g.Output("logits", m.TokenLogits(g, m.Decode(g, texts, memory).States))
		return nil
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close()) }()
	require.NoError(t, g.Feed("ids", p.ids))
	if rows > 0 {
		require.NoError(t, g.Feed("slots", slots))
	}
	for name, x := range inputs {
		require.NoError(t, g.Feed(name, x))
	}
	require.NoError(t, g.Run())
	logits, err := g.Read("logits")
	require.NoError(t, err)
	return tokenLogProbs(logits, p.ids)
}

func tokenLogProbs(logits []float32, tokens []int32) []float64 {
	v := len(logits) / len(tokens)
	var out []float64
	for i, id := range tokens[1:] {
		if id < 0 {
			out = append(out, 0)
			continue
		}
		row := logits[i*v : (i+1)*v]
		top := math.Inf(-1)
		for _, x := range row {
			top = math.Max(top, float64(x))
		}
		var sum float64
		for _, x := range row {
			sum += math.Exp(float64(x) - top)
		}
		out = append(out, float64(row[id])-top-math.Log(sum))
	}
	return out
}

// pageBytes is the size of a page of 32 tokens.
func (f fixture) pageBytes() int64 {
	t := f.config.Text
	return int64(t.Layers) * int64(kernel.PagedShape{Page: 32, KVHeads: t.KVHeads, D: t.HeadWidth}.Floats()) * 4
}

// rawLogits are the logits after a prompt, from the network itself.
func (f fixture) rawLogits(t testing.TB, prompt []int32) []float32 {
	t.Helper()
	var table page.Table
	require.True(t, f.cache.Reserve(&table, len(prompt)))
	defer f.pool.Release(&table)
	out, err := f.cache.Forward([]network.Run{{Tokens: prompt, Table: &table, States: 1}})
	require.NoError(t, err)
	logits, err := f.cache.Logits(out.States, 1)
	require.NoError(t, err)
	return slices.Clone(logits)
}
