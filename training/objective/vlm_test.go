package objective

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/optim"
)

const imageToken = 11

func tinyVLM(form model.VisionForm) model.Config {
	c := tinyOf(model.VLM)
	c.Vision.Form, c.Vision.Image, c.Vision.Hidden = form, 8, 10
	c.Text.Form, c.Text.Context, c.Text.Special.Image = model.Llama, 9, imageToken
	if form == model.MoonViT {
		c.Vision.Grid = 3 // resized to every image
	}
	return c
}

var packedRoom = model.PackedShape{Patches: 80, Images: 7}

// illustrated are texts with an image each, of several sizes where they are packed.
func illustrated(m *model.Model, room *model.PackedShape) *training.Batch {
	c, r := m.Config, rand.New(rand.NewPCG(3, 3))
	noise := func(v []float32) []float32 {
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	b := &training.Batch{}
	takes := make([]int, rows) // tokens of each image
	if room == nil {
		noise(b.Float32s(Images, rows*c.Vision.Pixels()))
		for i := range takes {
			takes[i] = c.ImageTokens()
		}
	} else {
		var images []model.Image
		for i := range rows {
			h, w := 4*(1+i%2), 4*(1+i%3)
			images = append(images, model.Image{Pixels: noise(make([]float32, 3*h*w)), Height: h, Width: w})
		}
		p, err := c.PackImages(*room, images)
		if err != nil {
			panic(err)
		}
		p.Put(b)
		takes = p.Tokens
	}
	n := c.Text.Context
	tokens, targets := b.Int32s(Tokens, rows*n), b.Int32s(Targets, rows*n)
	for i := range rows {
		for j := range n {
			tokens[i*n+j] = int32(r.IntN(imageToken))
			if j > 0 && j <= takes[i] {
				tokens[i*n+j] = imageToken
			}
		}
		for j := range n {
			targets[i*n+j] = device.IgnoreIndex
			if j+1 < n {
				targets[i*n+j] = tokens[i*n+j+1]
			}
		}
	}
	return b
}

func onCPU(t *testing.T, c model.Config) *model.Model {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	m, err := model.New(device.NewCPU(e), c, 3)
	require.NoError(t, err)
	return m
}

// scenes are images of a coloured square on a background, and texts that name its
// colour and its corner: BOS, the image, colour, corner, EOS.
func scenes(c model.Config) *training.Batch {
	const colours, corners = 3, 4
	b := &training.Batch{}
	side, n := c.Vision.Image, c.Text.Context
	count := colours * corners
	images := b.Float32s(Images, count*c.Vision.Pixels())
	tokens, targets := b.Int32s(Tokens, count*n), b.Int32s(Targets, count*n)
	for i := range count {
		colour, corner := i%colours, i/colours
		for p := range side * side {
			y, x := p/side, p%side
			for channel := range 3 {
				images[(i*3+channel)*side*side+p] = -1
				if y*2/side == corner/2 && x*2/side == corner%2 && channel == colour {
					images[(i*3+channel)*side*side+p] = 1
				}
			}
		}
		text := []int32{c.Text.Special.BOS}
		for range c.ImageTokens() {
			text = append(text, imageToken)
		}
		text = append(text, int32(4+colour), int32(4+colours+corner), c.Text.Special.EOS)
		for j := range n {
			tokens[i*n+j], targets[i*n+j] = c.Text.Special.Pad, device.IgnoreIndex
			if j < len(text) {
				tokens[i*n+j] = text[j]
			}
			if j+1 < len(text) {
				targets[i*n+j] = text[j+1]
			}
		}
	}
	return b
}

func TestAVLMLearnsToNameWhatItSees(t *testing.T) {
	c := tinyVLM(model.ViT)
	c.Width, c.Text.Width, c.Text.Vocab, c.Text.Layers = 16, 16, 12, 2
	m := onCPU(t, c)
	v, err := NewVLM(m, VLMOptions{Plan: Plan{Batch: 12, Accumulate: 2}})
	require.NoError(t, err)
	b := scenes(m.Config)
	adam, err := optim.NewAdamW(m.Backend(), v.Params(), optim.DefaultOptions())
	require.NoError(t, err)
	var first, last float64
	for step := range int64(150) {
		adam.ZeroGrad()
		metrics, err := v.Step(step, b)
		require.NoError(t, err)
		if step == 0 {
			first = metrics[training.LossKey]
		}
		last = metrics[training.LossKey]
		_, err = adam.Step(step, 1e-2)
		require.NoError(t, err)
	}
	require.Greater(t, first, 2.0)
	require.Less(t, last, 0.05, "who sees colour and corner knows every token")
	require.NoError(t, v.Close())
}

func TestFrozenPartsOfAVLMGetNoGradient(t *testing.T) {
	m := onCPU(t, tinyVLM(model.SigLIPVision))
	v, err := NewVLM(m, VLMOptions{Plan: Plan{Batch: rows}, Freeze: []string{"vision", "text"}})
	require.NoError(t, err)
	_, err = v.Step(0, illustrated(m, nil))
	require.NoError(t, err)
	for _, p := range m.Params() {
		part := p.Name[:len("projector")]
		require.Equal(t, part == "projector", p.Grad != nil, p.Name)
	}
	_, err = NewVLM(m, VLMOptions{Plan: Plan{Batch: rows}, Freeze: []string{"eyes"}})
	require.ErrorContains(t, err, `"eyes"`)
	require.NoError(t, v.Close())
}

func TestAVLMRefusesTextsThatDoNotFitTheImages(t *testing.T) {
	m := onCPU(t, tinyVLM(model.MoonViT))
	v, err := NewVLM(m, VLMOptions{Plan: Plan{Batch: rows}, Packed: &packedRoom})
	require.NoError(t, err)
	b := illustrated(m, &packedRoom)
	_, err = v.Step(0, b)
	require.NoError(t, err)
	tokens, err := b.ReadInt32s(Tokens, rows*m.Config.Text.Context)
	require.NoError(t, err)
	tokens[0] = imageToken
	_, err = v.Step(0, b)
	require.ErrorContains(t, err, "stand for images")
	b = illustrated(m, &packedRoom)
	down, err := b.ReadInt32s("patch_down", packedRoom.Patches)
	require.NoError(t, err)
	down[3] = -1
	_, err = v.Step(0, b)
	require.ErrorContains(t, err, "element 3 of the batch's patch_down is -1")
	_, err = NewVLM(m, VLMOptions{Plan: Plan{Batch: rows, Accumulate: 3}, Packed: &packedRoom})
	require.ErrorContains(t, err, "accumulate")
	require.NoError(t, v.Close())
}
