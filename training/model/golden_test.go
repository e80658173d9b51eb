package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/graph"
	"tempera/training/op"
)

// goldenCase is a file of testdata, made by make_golden.py.
type goldenCase struct {
	Config  json.RawMessage            `json:"config"`
	Inputs  map[string]json.RawMessage `json:"inputs"`
	Outputs map[string]struct {
		Shape []int     `json:"shape"`
		Data  []float64 `json:"data"`
	} `json:"outputs"`
	Grads map[string]struct {
		Stride int       `json:"stride"`
		Data   []float64 `json:"data"`
	} `json:"grads"`
}

// goldenValue is value of make_golden.py.
func goldenValue(name string, n int) []float32 {
	seed := 0
	for i, c := range []byte(name) {
		seed += (i + 1) * int(c)
	}
	v := make([]float32, n)
	for i := range v {
		x := float64(i)
		square, line := float64(0.731*x*x), float64(12.9898*x)
		wave := math.Cos(square + line + float64(seed%1000))
		switch {
		case strings.Contains(name, "norm.weight"):
			v[i] = float32(1 + float64(0.2*wave))
		case name == "log_scale":
			v[i] = 1.5
		case name == "logit_bias":
			v[i] = -1
		default:
			v[i] = float32(0.3 * wave)
		}
	}
	return v
}

func readGolden(t *testing.T, file string) (goldenCase, Config) {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var c goldenCase
	require.NoError(t, json.Unmarshal(raw, &c))
	config, err := ParseConfig(c.Config)
	require.NoError(t, err)
	return c, config
}

// ints is an input of integers, nil where the case has none of that name.
func (c goldenCase) ints(t *testing.T, name string) []int32 {
	t.Helper()
	if c.Inputs[name] == nil {
		return nil
	}
	var v []int32
	require.NoError(t, json.Unmarshal(c.Inputs[name], &v))
	return v
}

func (c goldenCase) floats(t *testing.T, name string) []float32 {
	t.Helper()
	var v []float32
	require.NoError(t, json.Unmarshal(c.Inputs[name], &v))
	return v
}

// inputs declares and later feeds what a case gives.
type inputs struct {
	t    *testing.T
	c    goldenCase
	g    *graph.Graph
	feed map[string]any
}

func (in inputs) ints(name string, shape ...int) *graph.Node {
	v := in.c.ints(in.t, name)
	if v == nil {
		return nil
	}
	if shape == nil {
		shape = []int{len(v)}
	}
	in.feed[name] = v
	return in.g.Input(name, device.Int32, shape...)
}

func (in inputs) floats(name string, shape ...int) *graph.Node {
	in.feed[name] = in.c.floats(in.t, name)
	return in.g.Input(name, device.Float32, shape...)
}

// define adds a model to a graph and returns the loss.
type define func(m *Model, in inputs) *graph.Node

func languageModel(m *Model, in inputs) *graph.Node {
	n := m.Config.Text.Context
	text := Texts{Tokens: in.ints("tokens", 2, n), Positions: in.ints("positions", 2, n), Ends: in.ints("ends")}
	states := m.Decode(in.g, text, nil).States
	in.g.Output("logits", m.TokenLogits(in.g, states))
	return m.TokenLoss(in.g, states, in.ints("targets", 2, n), 0)
}

func contrast(m *Model, in inputs) *graph.Node {
	g, c, v := in.g, m.Config.Text, m.Config.Vision
	lengths := in.c.ints(in.t, "lengths")
	b := len(lengths)
	var ends []int32
	for i, l := range lengths {
		ends = append(ends, int32(i*c.Context)+l-1)
	}
	text := Texts{Tokens: in.ints("tokens", b, c.Context), Lengths: in.ints("lengths"), Last: g.Ints(ends)}
	a := op.ContrastiveArgs{LogScale: g.Param(m.Param("log_scale"))}
	a.Image = m.ImageFeature(g, m.VisionStates(g, in.floats("images", b, 3, v.Image, v.Image)))
	a.Text = m.TextFeature(g, m.TextStates(g, text), text)
	g.Output("image", a.Image)
	g.Output("text", a.Text)
	var loss, logits *graph.Node
	if m.Config.Loss == Sigmoid {
		a.Bias = g.Param(m.Param("logit_bias"))
		loss, logits = op.SigLIPLoss(g, a)
	} else {
		loss, logits = op.ContrastiveLoss(g, a)
	}
	g.Output("logits", logits)
	return loss
}

// visionLanguageModel packs the images of a case into room that is larger.
func visionLanguageModel(m *Model, in inputs) *graph.Node {
	t, g, n := in.t, in.g, m.Config.Text.Context
	var given []struct {
		Height, Width int
		Pixels        []float32
	}
	require.NoError(t, json.Unmarshal(in.c.Inputs["images"], &given))
	var images []Image
	patches, p := 0, m.Config.Vision.Patch
	for _, im := range given {
		images = append(images, Image{im.Pixels, im.Height, im.Width})
		patches += im.Height / p * (im.Width / p)
	}
	room := PackedShape{Patches: patches + 8, Images: len(images) + 2}
	packed, err := m.Config.PackImages(room, images)
	require.NoError(t, err)
	in.feed[patchesInput] = packed.floats
	for name, v := range packed.ints {
		in.feed[name] = v
	}
	tokens := 0
	for _, n := range packed.Tokens {
		tokens += n
	}
	words, slots, err := m.Config.PlaceImages(in.c.ints(t, "tokens"), tokens)
	require.NoError(t, err)
	in.feed["words"], in.feed["slots"] = words, slots

	input := m.PackedInput(g, room)
	states := m.PackedStates(g, input)
	g.Output("states", g.Reshape(op.SliceTokens(g, g.Reshape(states, 1, room.Patches, states.Dim(1)), 0, patches), patches, states.Dim(1)))
	text := Texts{
		Tokens: g.Input("words", device.Int32, len(images), n), Slots: g.Input("slots", device.Int32, len(images), n),
		Patches: m.ProjectPacked(g, states, input),
	}
	out := m.Decode(g, text, nil).States
	g.Output("logits", m.TokenLogits(g, out))
	return m.TokenLoss(g, out, in.ints("targets", len(images), n), 0)
}

func TestModelsAgreeWithPyTorch(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	kinds := map[Kind]define{LM: languageModel, CLIP: contrast, VLM: visionLanguageModel}
	for _, file := range files {
		c, config := readGolden(t, file)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Run("in float64", func(t *testing.T) { c.run(t, reference.New(), config, golden{kinds[config.Kind], 1e-6}) })
			t.Run("in float32", func(t *testing.T) { c.run(t, newCPU(t), config, golden{kinds[config.Kind], 1e-4}) })
		})
	}
}

type golden struct {
	define    define
	tolerance float64 // relative to the root mean square of what is compared
}

func (c goldenCase) run(t *testing.T, b device.Backend, config Config, how golden) {
	w := &Weights{Config: config, values: map[string][]float32{}}
	for _, s := range config.Params() {
		w.values[s.Name] = goldenValue(s.Name, s.size())
	}
	m, err := Load(b, w)
	require.NoError(t, err)
	feed := map[string]any{}
	g, err := graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		loss := how.define(m, inputs{t, c, g, feed})
		g.Output("loss", loss)
		return loss
	})
	require.NoError(t, err)
	for name, v := range feed {
		require.NoError(t, g.Feed(name, v))
	}
	require.NoError(t, g.Run())
	for name, want := range c.Outputs {
		v, err := g.Value(name)
		require.NoError(t, err)
		require.True(t, slices.Equal(want.Shape, v.Desc().Shape), "%s is %v, want %v", name, v.Desc(), want.Shape)
		requireClose(t, want.Data, read(t, b, v), how.tolerance, name)
	}
	trained := 0
	for _, p := range m.Params() {
		want, ok := c.Grads[p.Name]
		require.Equal(t, ok, p.Trained(), "%s is trained", p.Name)
		if !ok {
			continue
		}
		trained++
		var got []float64
		all := read(t, b, p.Grad)
		for i := 0; i < len(all); i += want.Stride {
			got = append(got, all[i])
		}
		requireClose(t, want.Data, got, how.tolerance, "gradient of "+p.Name)
	}
	require.Len(t, c.Grads, trained)
	require.NoError(t, g.Close())
}

// read copies a value in the precision of its backend.
func read(t *testing.T, b device.Backend, v *device.Value) []float64 {
	t.Helper()
	if r, ok := b.(*reference.Backend); ok {
		return r.Read(v)
	}
	x, err := device.ReadFloats(b, v)
	require.NoError(t, err)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = float64(x[i])
	}
	return out
}

func requireClose(t *testing.T, want, got []float64, tolerance float64, name string) {
	t.Helper()
	require.Len(t, got, len(want), name)
	var squares float64
	for _, x := range want {
		squares += x * x
	}
	scale := math.Sqrt(squares / float64(len(want)))
	for i := range want {
		require.InDelta(t, want[i], got[i], tolerance*math.Max(scale, math.Abs(want[i])), "%s[%d] of scale %g", name, i, scale)
	}
}
