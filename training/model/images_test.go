package model

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func noisy(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 3))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// TestTheRowsOfAnImageDoNotDependOnTheOthers: alone, or in a batch of others that is
// not full.
func TestTheRowsOfAnImageDoNotDependOnTheOthers(t *testing.T) {
	c := tiny(VLM)
	c.Vision.Form, c.Text.Special.Image = MoonViT, 5
	m := newModel(t, c)
	c = m.Config
	e, err := NewImageEncoder(m, 3, &PackedShape{Patches: 40, Images: 3})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()

	pixels := noisy(1, 5*c.Vision.Pixels())
	all, n, err := e.Squares(pixels)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.Len(t, all, 5*c.ImageTokens()*c.Text.Width)
	size := len(all) / n
	for i := range n {
		one, _, err := e.Squares(pixels[i*c.Vision.Pixels() : (i+1)*c.Vision.Pixels()])
		require.NoError(t, err)
		require.Equal(t, all[i*size:(i+1)*size], one, "image %d", i)
	}

	unit := c.Vision.Patch * c.Projector.Merge
	var images []Image
	for i, s := range [][2]int{{1, 1}, {2, 3}, {3, 1}, {1, 2}, {3, 3}, {1, 1}} {
		h, w := s[0]*unit, s[1]*unit
		images = append(images, Image{Pixels: noisy(uint64(9+i), 3*h*w), Height: h, Width: w})
	}
	rows, err := e.Packed(images)
	require.NoError(t, err)
	for i, image := range images {
		one, err := e.Packed([]Image{image})
		require.NoError(t, err)
		require.InDeltaSlice(t, one[0], rows[i], 1e-5, "image %d", i)
		require.Len(t, rows[i], image.Height*image.Width/(unit*unit)*c.Text.Width)
	}
	_, err = e.Packed([]Image{{Pixels: make([]float32, 3*unit*unit*16), Height: 4 * unit, Width: 4 * unit}})
	require.ErrorContains(t, err, "more than the 40 patches")
	_, _, err = e.Squares(pixels[1:])
	require.ErrorContains(t, err, "are not images of")
	_, err = NewImageEncoder(newModel(t, tiny(CLIP)), 2, nil)
	require.ErrorContains(t, err, "a model of kind clip takes no images into its texts")
}

// TestAVLMBeginsWithItsParts: the towers are those of other models, tokens that the
// language model does not have are new.
func TestAVLMBeginsWithItsParts(t *testing.T) {
	see, speak := tiny(CLIP), tiny(LM)
	see.Vision.Form = CLIPVision
	for _, tied := range []bool{false, true} {
		speak.Text.TieHead = tied
		vision, language := newModel(t, see), newModel(t, speak)
		eyes, err := vision.Weights()
		require.NoError(t, err)
		mouth, err := language.Weights()
		require.NoError(t, err)
		p := Parts{Vision: eyes, Language: mouth}
		c := tiny(VLM)
		had := language.Config.Text.Vocab
		c.Text.Vocab, c.Text.Special.Image = had+1, int32(had)
		c = p.Into(c)
		require.Equal(t, vision.Config.Vision, c.Vision)
		m, err := NewFromParts(vision.Backend(), c, 7, p)
		require.NoError(t, err)
		w, err := m.Weights()
		require.NoError(t, err)
		fresh, err := New(vision.Backend(), c, 7)
		require.NoError(t, err)
		initial, err := fresh.Weights()
		require.NoError(t, err)
		get := func(w *Weights, name string) []float32 {
			v, err := w.Get(name)
			require.NoError(t, err)
			return v
		}
		width := c.Text.Width
		for _, s := range m.Config.Params() {
			got := get(w, s.Name)
			switch {
			case s.Name == "text.token":
				require.Equal(t, get(mouth, s.Name), got[:had*width])
				require.Equal(t, get(initial, s.Name)[had*width:], got[had*width:])
			case s.Name == "text.head.weight":
				old, fresh := get(mouth, s.Name), get(initial, s.Name)
				for i := range width {
					require.Equal(t, old[i*had:(i+1)*had], got[i*(had+1):][:had])
					require.Equal(t, fresh[i*(had+1)+had], got[i*(had+1)+had])
				}
			case s.Name[:4] == "text":
				require.Equal(t, get(mouth, s.Name), got, s.Name)
			case s.Name[:4] == "visi":
				require.Equal(t, get(eyes, s.Name), got, s.Name)
			default:
				require.Equal(t, get(initial, s.Name), got, s.Name)
			}
		}
		other := c
		other.Text.Width, other.Text.Hidden = 0, 0
		other.Width, other.Text.HeadWidth = 2*width, 0
		_, err = NewFromParts(vision.Backend(), other, 7, p)
		require.ErrorContains(t, err, "leave the tower's fields out of model.config")
	}
	_, err := NewFromParts(nil, Config{}, 0, Parts{Vision: &Weights{Config: tiny(LM).Resolve()}, Language: &Weights{Config: tiny(CLIP).Resolve()}})
	require.ErrorContains(t, err, "lm has no image tower")
	require.ErrorContains(t, err, "clip has no language model")
}

func TestLoRAOfAPartIsMerged(t *testing.T) {
	speak := tiny(LM)
	speak.LoRA = &LoRA{Rank: 2, Alpha: 3}
	language := newModel(t, speak)
	w, err := language.Weights()
	require.NoError(t, err)
	for _, s := range language.Config.Params() { // B is 0 at first
		if isLoRA(s.Name) {
			v, err := w.Get(s.Name)
			require.NoError(t, err)
			copy(v, noisy(4, len(v)))
		}
	}
	p := Parts{Language: w}
	c := tiny(VLM)
	c.Text.Vocab, c.Text.Special.Image = language.Config.Text.Vocab, 5
	m, err := NewFromParts(language.Backend(), p.Into(c), 7, p)
	require.NoError(t, err)
	got, err := m.Weights()
	require.NoError(t, err)
	merged, err := w.Merge()
	require.NoError(t, err)
	const name = "text.blocks.0.causal.qkv.weight"
	require.Equal(t, merged.values[name], got.values[name])
	require.False(t, slices.Equal(w.values[name], got.values[name]))
}
