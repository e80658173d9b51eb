package generate

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// seers are vision-language models of every way to see: with a class token, with
// attention pooling left out, and of any size.
func seers() map[string]model.Config {
	seer := func(form model.VisionForm) model.Config {
		c := model.Config{Kind: model.VLM, Width: 32, Text: textConfig(), Vision: model.Vision{Form: form, Image: 12, Patch: 3, Width: 16, Layers: 2, Heads: 2}}
		c.Text.Form, c.Text.Heads, c.Text.KVHeads, c.Text.Special.Image = model.Llama, 4, 2, 52
		return c.Resolve()
	}
	return map[string]model.Config{"vit": seer(model.ViT), "clip": seer(model.CLIPVision), "siglip": seer(model.SigLIPVision), "moonvit": seer(model.MoonViT)}
}

func randomImage(seed uint64, height, width int) model.Image {
	r := rand.New(rand.NewPCG(seed, 11))
	m := model.Image{Pixels: make([]float32, 3*height*width), Height: height, Width: width}
	for i := range m.Pixels {
		m.Pixels[i] = float32(r.NormFloat64())
	}
	return m
}

// TestAnswersAboutImagesHaveTheProbabilitiesOfTheTrainingGraph: from pixels to the
// log-probability of each token of an answer, by the path of decoding and by the graph
// that trains.
func TestAnswersAboutImagesHaveTheProbabilitiesOfTheTrainingGraph(t *testing.T) {
	for name, c := range seers() {
		t.Run(name, func(t *testing.T) {
			f := newFixtureOf(t, c, Options{Prefill: 32})
			m, err := model.Load(f.backend, f.weights)
			require.NoError(t, err)
			sizes := [][2]int{{12, 12}, {12, 12}}
			var room *model.PackedShape
			if name == "moonvit" {
				sizes, room = [][2]int{{6, 18}, {18, 12}}, &model.PackedShape{Patches: 40, Images: 2}
			}
			var images []model.Image
			for i, s := range sizes {
				images = append(images, randomImage(uint64(i), s[0], s[1]))
			}
			for i, rows := range encoded(t, m, room, images) {
				ask := []Part{{Tokens: []int32{1}}, {Embeddings: rows}, {Tokens: []int32{7, 30}}}
				got := write(t, f.Generator, Request{Prompt: ask, Suppress: []int32{52}, Seed: 4, Search: Search{Temperature: 1.5}, PromptLogProbs: true})[0]
				written := got.Texts[0]
				text := append([]int32{1}, slices.Repeat([]int32{52}, len(rows)/c.Text.Width)...)
				text = append(append(text, 7, 30), written.Tokens...)
				if written.End == EndEOS {
					text = append(text, c.Text.Special.EOS)
				}
				want := pixelLogProbs(t, m, room, images[i], text)
				all := append(slices.Clone(got.PromptLogProbs[1:]), written.LogProbs...)
				require.Len(t, all, len(want))
				for k, w := range want {
					if text[k+1] != 52 { // of the image's tokens there is none
						require.InDelta(t, w, all[k], 1e-4, "image %d, token %d", i, k+1)
					}
				}
			}
		})
	}
}

// encoded are the rows of each image.
func encoded(t *testing.T, m *model.Model, room *model.PackedShape, images []model.Image) [][]float32 {
	t.Helper()
	e, err := model.NewImageEncoder(m, 2, room)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	if room != nil {
		rows, err := e.Packed(images)
		require.NoError(t, err)
		return rows
	}
	var pixels []float32
	for _, i := range images {
		pixels = append(pixels, i.Pixels...)
	}
	all, n, err := e.Squares(pixels)
	require.NoError(t, err)
	return slices.Collect(slices.Chunk(all, len(all)/n))
}

// pixelLogProbs is the log-probability of each token after the first, under the graph
// that training builds.
func pixelLogProbs(t *testing.T, m *model.Model, room *model.PackedShape, image model.Image, text []int32) []float64 {
	t.Helper()
	c, n := m.Config, len(text)
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		texts := model.Texts{Tokens: g.Input("tokens", device.Int32, 1, n), Slots: g.Input("slots", device.Int32, 1, n)}
		if room != nil {
			p := m.PackedInput(g, *room)
			texts.Patches = m.ProjectPacked(g, m.PackedStates(g, p), p)
		} else {
			texts.Patches = m.ProjectImages(g, m.VisionStates(g, g.Input("images", device.Float32, 1, 3, c.Vision.Image, c.Vision.Image)))
		}
		g.Output("logits", m.TokenLogits(g, m.Decode(g, texts, nil).States))
		return nil
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, g.Close()) }()
	tokens := c.ImageTokens()
	if room != nil {
		p, err := c.PackImages(*room, []model.Image{image})
		require.NoError(t, err)
		require.NoError(t, p.Feed(g))
		tokens = p.Tokens[0]
	} else {
		require.NoError(t, g.Feed("images", image.Pixels))
	}
	words, slots, err := c.PlaceImages(text, tokens)
	require.NoError(t, err)
	require.NoError(t, g.Feed("tokens", words))
	require.NoError(t, g.Feed("slots", slots))
	require.NoError(t, g.Run())
	logits, err := g.Read("logits")
	require.NoError(t, err)
	return tokenLogProbs(logits, text)
}
