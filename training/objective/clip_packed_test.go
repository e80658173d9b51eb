package objective

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/model"
)

// packedPairs are texts with an image each, of several sizes.
func packedPairs(m *model.Model) *training.Batch {
	b, r := pairsOf(m, 1), rand.New(rand.NewPCG(3, 4))
	var images []model.Image
	for i := range rows {
		h, w := 2*(1+i%3), 2*(1+i%4)
		v := make([]float32, 3*h*w)
		for k := range v {
			v[k] = float32(r.NormFloat64())
		}
		images = append(images, model.Image{Pixels: v, Height: h, Width: w})
	}
	p, err := m.Config.PackImages(model.PackedShape{Patches: 12 * rows, Images: rows}, images)
	if err != nil {
		panic(err)
	}
	p.Put(b)
	return b
}

// TestPackedImagesOfTheUsualSizeAreContrastedAsSquares: packing changes where images
// lie, not what the loss is.
func TestPackedImagesOfTheUsualSizeAreContrastedAsSquares(t *testing.T) {
	c := tinyOf(model.CLIP)
	c.Vision.Form = model.MoonViT
	m := onCPU(t, c)
	b, pixels := pairsOf(m, 1), m.Config.Vision.Pixels()
	squares, err := b.ReadFloat32s(Images, rows*pixels)
	require.NoError(t, err)
	var images []model.Image
	for i := range rows {
		images = append(images, model.Image{Pixels: squares[i*pixels : (i+1)*pixels], Height: m.Config.Vision.Image, Width: m.Config.Vision.Image})
	}
	room := model.PackedShape{Patches: 6 * rows, Images: rows}
	p, err := m.Config.PackImages(room, images)
	require.NoError(t, err)
	p.Put(b)
	whole, err := NewCLIP(m, Plan{Batch: rows})
	require.NoError(t, err)
	packed, err := NewPackedCLIP(m, Plan{Batch: rows}, room)
	require.NoError(t, err)
	want, err := whole.Step(0, b)
	require.NoError(t, err)
	got, err := packed.Step(0, b)
	require.NoError(t, err)
	require.InDelta(t, want[training.LossKey], got[training.LossKey], 1e-5)
	half, err := packed.Needs(rows / 2)
	require.NoError(t, err)
	all, err := packed.Needs(rows)
	require.NoError(t, err)
	require.Less(t, half.Activations, all.Activations)
	require.NoError(t, packed.Close())
	require.NoError(t, whole.Close())

	_, err = NewPackedCLIP(m, Plan{Batch: rows, Accumulate: rows}, room)
	require.ErrorContains(t, err, "remove accumulate")
	_, err = NewPackedCLIP(m, Plan{Batch: rows}, model.PackedShape{Patches: 9, Images: 3})
	require.ErrorContains(t, err, "give room for as many images")
	_, err = NewPackedCLIP(onCPU(t, tinyOf(model.CLIP)), Plan{Batch: rows}, room)
	require.ErrorContains(t, err, "packed images need moonvit")
}
