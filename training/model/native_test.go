package model

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
)

// sized makes an image of height x width patches.
func sized(r *rand.Rand, v Vision, height, width int) Image {
	im := Image{Height: height * v.Patch, Width: width * v.Patch}
	im.Pixels = make([]float32, 3*im.Height*im.Width)
	for i := range im.Pixels {
		im.Pixels[i] = float32(r.NormFloat64())
	}
	return im
}

func total(images []Image, v Vision) int {
	n := 0
	for _, im := range images {
		n += im.Height / v.Patch * (im.Width / v.Patch)
	}
	return n
}

// packedGraph runs the tower over packed images.
func packedGraph(t testing.TB, m *Model, s PackedShape) *graph.Graph {
	t.Helper()
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		g.Output("states", m.PackedStates(g, m.PackedInput(g, s)))
		return nil
	})
	require.NoError(t, err)
	return g
}

func runPacked(t testing.TB, m *Model, s PackedShape, images []Image) []float32 {
	t.Helper()
	g := packedGraph(t, m, s)
	p, err := m.Config.PackImages(s, images)
	require.NoError(t, err)
	require.NoError(t, p.Feed(g))
	require.NoError(t, g.Run())
	out, err := g.Read("states")
	require.NoError(t, err)
	require.NoError(t, g.Close())
	return out[:total(images, m.Config.Vision)*m.Config.Vision.Width]
}

func native(side int) Config {
	return Config{
		Kind: VLM, Width: 32, Vision: Vision{Form: MoonViT, Image: 4 * side, Grid: 5, Layers: 2},
		Text: Text{Form: Llama, Vocab: 20, Context: 16, Special: Special{Image: 4}},
	}
}

func TestPackedImagesAreComputedAsOneByOne(t *testing.T) {
	m, err := New(newCPU(t), native(8), 3)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 1))
	var images []Image
	for _, s := range [][2]int{{4, 6}, {2, 2}, {8, 8}, {10, 4}, {2, 12}} {
		images = append(images, sized(r, m.Config.Vision, s[0], s[1]))
	}
	n := total(images, m.Config.Vision)
	together := runPacked(t, m, PackedShape{Patches: n + 12, Images: 7}, images)
	var apart []float32
	for _, im := range images {
		apart = append(apart, runPacked(t, m, PackedShape{Patches: total([]Image{im}, m.Config.Vision), Images: 1}, []Image{im})...)
	}
	require.Len(t, together, len(apart))
	for i := range apart {
		require.InDelta(t, apart[i], together[i], 1e-5)
	}
	// The third has the usual size.
	square := together[(24+4)*32:][:64*32]
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		g.Output("states", m.VisionStates(g, g.Input("images", device.Float32, 1, 3, 32, 32)))
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, g.Feed("images", images[2].Pixels))
	require.NoError(t, g.Run())
	usual, err := g.Read("states")
	require.NoError(t, err)
	for i := range usual {
		require.InDelta(t, usual[i], square[i], 1e-5)
	}
	require.NoError(t, g.Close())
}

func TestImagesThatCannotBePackedAreNamed(t *testing.T) {
	c := native(8).Resolve()
	r := rand.New(rand.NewPCG(1, 1))
	room := PackedShape{Patches: 16, Images: 2}
	good := sized(r, c.Vision, 2, 4)
	for want, images := range map[string][]Image{
		"3 images, there is room for 2":      {good, good, good},
		"image 1 is 12 x 8 pixels":           {good, sized(r, c.Vision, 3, 2)},
		"2 images have more than the 16":     {good, sized(r, c.Vision, 4, 4)},
		"image 0 has 3 values":               {{Pixels: make([]float32, 3), Height: 8, Width: 8}},
		"sides are limited to 40":            {sized(r, c.Vision, 42, 2)},
		"sides must be multiples of 8: resi": {{}},
	} {
		_, err := c.PackImages(room, images)
		require.ErrorContains(t, err, want)
	}
	_, err := c.PackImages(PackedShape{Patches: 15, Images: 2}, nil)
	require.ErrorContains(t, err, "not a multiple of 4")
}

// BenchmarkMixedSizes compares three ways to run 12 images of 4 to 20 patches a side
// through the tower: packed, one by one, and each padded to the largest.
func BenchmarkMixedSizes(b *testing.B) {
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(b, err)
	defer e.Close()
	c := native(20)
	c.Vision.Width, c.Vision.Layers = 192, 4
	m, err := New(device.NewCPU(e), c, 3)
	require.NoError(b, err)
	r := rand.New(rand.NewPCG(1, 1))
	var images []Image
	for range 12 {
		images = append(images, sized(r, m.Config.Vision, 2*(2+r.IntN(9)), 2*(2+r.IntN(9))))
	}
	n := total(images, m.Config.Vision)
	run := func(b *testing.B, groups ...[]Image) {
		var graphs []*graph.Graph
		for _, images := range groups {
			s := PackedShape{Patches: total(images, m.Config.Vision), Images: len(images)}
			g := packedGraph(b, m, s)
			p, err := m.Config.PackImages(s, images)
			require.NoError(b, err)
			require.NoError(b, p.Feed(g))
			graphs = append(graphs, g)
		}
		for b.Loop() {
			for _, g := range graphs {
				require.NoError(b, g.Run())
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "patches/s")
		for _, g := range graphs {
			require.NoError(b, g.Close())
		}
	}
	var apart [][]Image
	var padded []Image
	for _, im := range images {
		apart = append(apart, []Image{im})
		padded = append(padded, sized(r, m.Config.Vision, 20, 20))
	}
	b.Run("packed", func(b *testing.B) { run(b, images) })
	b.Run("one by one", func(b *testing.B) { run(b, apart...) })
	b.Run("padded", func(b *testing.B) { run(b, padded) })
}
