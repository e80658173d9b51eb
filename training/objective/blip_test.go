package objective

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
)

const (
	rows    = 6
	context = 5
)

func newBLIP(t *testing.T, o BLIPOptions) *BLIP {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	m, err := model.New(device.NewCPU(e), model.Config{
		Kind: model.BLIP, Width: 16,
		Vision: model.Vision{Image: 8, Patch: 4, Layers: 1}, Text: model.Text{Vocab: 12, Context: context, Layers: 1},
	}, 1)
	require.NoError(t, err)
	b, err := NewBLIP(m, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// pairsOf is a batch in which texts 0 and 3 are equal; the targets of lm leave padding out.
func pairsOf(m *model.Model, seed uint64) *training.Batch {
	r := rand.New(rand.NewPCG(seed, 0))
	b := &training.Batch{}
	images := b.Float32s(Images, rows*m.Config.Vision.Pixels())
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	tokens, lengths, targets := b.Int32s(Tokens, rows*context), b.Int32s(Lengths, rows), b.Int32s(Targets, rows*context)
	for i := range rows {
		lengths[i] = int32(3 + i%3)
		for j := range context {
			tokens[i*context+j] = int32(4 + r.IntN(8))
		}
	}
	copy(tokens[3*context:4*context], tokens[:context])
	for i := range targets {
		targets[i] = int32(r.IntN(12))
		if i%context >= int(lengths[i/context]) {
			targets[i] = device.IgnoreIndex
		}
	}
	return b
}

func values(t *testing.T, b *BLIP, v *device.Value) []float32 {
	t.Helper()
	x, err := device.ReadFloats(b.model.Backend(), v)
	require.NoError(t, err)
	return x
}

func small() BLIPOptions {
	o := DefaultBLIP(rows)
	o.Queue = 3 * rows
	return o
}

func TestTheQueueStartsNormalisedAndTakesEachBatchInTurn(t *testing.T) {
	b := newBLIP(t, small())
	e := b.model.Config.Embed
	before := values(t, b, b.momentum.image)
	for i := range 3 * rows {
		var sum float64
		for _, x := range before[i*e : (i+1)*e] {
			sum += float64(x) * float64(x)
		}
		require.InDelta(t, 1, sum, 1e-5, "row %d", i)
	}
	require.NotEqual(t, before, values(t, b, b.momentum.text))
	for step := range int64(4) {
		_, err := b.Step(step, pairsOf(b.model, uint64(step)))
		require.NoError(t, err)
		keys, err := b.used.Read(imageKeys)
		require.NoError(t, err)
		require.NoError(t, b.Updated(step))
		after := values(t, b, b.momentum.image)
		at := int(step%3) * rows * e
		require.Equal(t, keys, after[at:at+rows*e], "step %d", step)
		if step == 0 {
			require.Equal(t, before[rows*e:], after[rows*e:])
		}
	}
}

func TestTheMomentumEncodersFollowTheOnlineOnes(t *testing.T) {
	for name, c := range map[string]struct {
		ramp bool
		want float64
	}{"evenly": {false, 0.005}, "closely at first": {true, 0.9}} {
		t.Run(name, func(t *testing.T) { testMomentum(t, c.ramp, c.want) })
	}
}

func testMomentum(t *testing.T, ramp bool, want float64) {
	o := small()
	o.MomentumRamp = ramp
	b := newBLIP(t, o)
	const name = "image_projection.weight"
	p, m := b.model.Param(name), b.momentum.model.Param(name)
	start := values(t, b, m.Value)
	require.Equal(t, values(t, b, p.Value), start)
	moved := make([]float32, len(start))
	for i := range moved {
		moved[i] = start[i] + 1
	}
	require.NoError(t, b.model.Backend().UploadFloats(p.Value, moved))
	_, err := b.Step(0, pairsOf(b.model, 1))
	require.NoError(t, err)
	require.NoError(t, b.Updated(0))
	for i, v := range values(t, b, m.Value) {
		require.InDelta(t, float64(start[i])+want, v, 1e-5)
	}
	require.Same(t, b.model.Param("match.weight"), b.momentum.model.Param("match.weight"), "what has no average is shared")
}

func TestAlphaRisesToItsValue(t *testing.T) {
	o := BLIPOptions{Alpha: 0.4, AlphaSteps: 10}
	require.Zero(t, o.alpha(0))
	require.InDelta(t, 0.2, o.alpha(5), 1e-12)
	require.Equal(t, 0.4, o.alpha(10))
	require.Equal(t, 0.4, o.alpha(1000))
	o.AlphaSteps = 0
	require.Equal(t, 0.4, o.alpha(0))
}

func TestTheTemperatureIsHeldToItsRange(t *testing.T) {
	b := newBLIP(t, small())
	p := b.model.Param("temperature")
	for _, c := range []struct{ set, want float32 }{{0.9, 0.5}, {-1, 0.001}, {0.1, 0.1}} {
		_, err := b.Step(0, pairsOf(b.model, 1))
		require.NoError(t, err)
		require.NoError(t, b.model.Backend().UploadFloats(p.Value, []float32{c.set}))
		require.NoError(t, b.Updated(0))
		require.Equal(t, c.want, values(t, b, p.Value)[0])
	}
}

func TestNegativesAreNeverThePairItselfNorAnEqualCaption(t *testing.T) {
	for name, o := range map[string]BLIPOptions{"by similarity": small(), "evenly": {Plan: Plan{Batch: rows}, ITM: 1}} {
		t.Run(name, func(t *testing.T) {
			b := newBLIP(t, o)
			seen := map[int32]bool{}
			for step := range int64(60) {
				batch := pairsOf(b.model, 1)
				copy(batch.Int32s(Groups, rows), []int32{0, 1, 1, 2, 3, 4}) // texts 1 and 2 are of one image
				_, err := b.Step(step, batch)
				require.NoError(t, err)
				for _, out := range []string{"hard_text", "hard_image"} {
					drawn, err := b.used.ReadInts(out)
					require.NoError(t, err)
					for i, j := range drawn {
						require.NotEqual(t, int32(i), j)
						require.NotEqual(t, 3, i+int(j), "rows 0 and 3, 1 and 2 belong together; drew %d for %d", j, i)
					}
					seen[drawn[5]] = true
				}
			}
			require.Greater(t, len(seen), 1, "draws differ from step to step")
		})
	}
}

func TestRowsAreGroupedByTextAndByWhatIsGiven(t *testing.T) {
	tokens := []int32{1, 2, 3, 4, 1, 2, 5, 6, 3, 4} // texts a b a c b
	require.Equal(t, []int32{0, 1, 0, 3, 1}, GroupRows(tokens, 5, nil))
	require.Equal(t, []int32{0, 0, 0, 3, 0}, GroupRows(tokens, 5, []int32{7, 8, 9, 6, 7}))
	require.Equal(t, []int32{0, 1, 0, 0, 1}, GroupRows(tokens, 5, []int32{1, 2, 3, 3, 4}))
}

func TestCaptionTargetsLeaveOutPromptAndPadding(t *testing.T) {
	const no = device.IgnoreIndex
	p := pairs{tokens: []int32{1, 8, 9, 2, 0, 1, 8, 2, 0, 0}, lengths: []int32{4, 3}}
	var b textBuffers
	require.Equal(t, []int32{8, 9, 2, no, no, 8, 2, no, no, no}, b.captionTargets(p, 0))
	require.Equal(t, []int32{no, 9, 2, no, no, no, 2, no, no, no}, b.captionTargets(p, 1))
	require.Equal(t, []int32{3, 8, 9, 2, 0, 3, 8, 2, 0, 0}, b.withFirst(p.tokens, 2, 3))
	require.Equal(t, int32(1), p.tokens[0], "the batch is not changed")
}

func TestPaddingDoesNotReachTheLoss(t *testing.T) {
	o := small()
	o.ITC, o.Queue = 1, 0
	b := newBLIP(t, o)
	first, err := b.Step(0, pairsOf(b.model, 1))
	require.NoError(t, err)
	batch := pairsOf(b.model, 1)
	tokens, _ := batch.ReadInt32s(Tokens, rows*context)
	for i := range rows {
		for j := 3 + i%3; j < context; j++ {
			tokens[i*context+j] = 0
		}
	}
	second, err := b.Step(0, batch)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestPartsOfWeightZeroAreNotBuilt(t *testing.T) {
	b := newBLIP(t, Captioning(rows))
	m, err := b.Step(0, pairsOf(b.model, 1))
	require.NoError(t, err)
	require.Contains(t, m, "lm")
	require.NotContains(t, m, "itc")
	require.NotContains(t, m, "itm")
	require.True(t, b.model.Param("match.weight").Frozen)
	require.True(t, b.model.Param("text.blocks.0.self.qkv.weight").Frozen)
	require.False(t, b.model.Param("text.blocks.0.causal.qkv.weight").Frozen)
	require.False(t, b.model.Param("vision.patch.weight").Frozen)
}

func TestAFrozenImageTowerHasNoGradient(t *testing.T) {
	o := Captioning(rows)
	o.FreezeVision = true
	b := newBLIP(t, o)
	require.True(t, b.model.Param("vision.patch.weight").Frozen)
	_, err := b.Step(0, pairsOf(b.model, 1))
	require.NoError(t, err)
	require.Nil(t, b.model.Param("vision.patch.weight").Grad)
	require.NotNil(t, b.model.Param("text.blocks.0.cross.kv.weight").Grad)
}

func TestTheLossIsTheWeightedSumOfItsParts(t *testing.T) {
	o := small()
	o.ITC, o.ITM, o.LM = 0.5, 2, 0.25
	b := newBLIP(t, o)
	m, err := b.Step(0, pairsOf(b.model, 1))
	require.NoError(t, err)
	require.InDelta(t, 0.5*m["itc"]+2*m["itm"]+0.25*m["lm"], m["loss"], 1e-4)
}

func TestBrokenBatchesAreErrors(t *testing.T) {
	b := newBLIP(t, small())
	for name, spoil := range map[string]func(*training.Batch){
		"a token is outside the vocabulary": func(x *training.Batch) { x.Int32s(Tokens, rows*context)[0] = 99 },
		"a token is negative":               func(x *training.Batch) { x.Int32s(Tokens, rows*context)[0] = -1 },
		"a text is empty":                   func(x *training.Batch) { x.Int32s(Lengths, rows)[0] = 0 },
		"a text is too long":                func(x *training.Batch) { x.Int32s(Lengths, rows)[0] = context + 1 },
		"images are missing":                func(x *training.Batch) { x.Float32s(Images, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			batch := pairsOf(b.model, 1)
			spoil(batch)
			_, err := b.Step(0, batch)
			require.Error(t, err)
		})
	}
}

func TestOptionsOfBLIPNameEveryFault(t *testing.T) {
	err := BLIPOptions{Plan: Plan{Batch: 4}, ITC: -1, ITM: 1, Queue: 6, Momentum: 2, Alpha: math.NaN(), AlphaSteps: -1, Smoothing: 1, Prompt: -1}.Validate()
	for _, part := range []string{"itc", "queue", "momentum", "alpha is", "alpha_steps", "smoothing", "prompt"} {
		require.ErrorContains(t, err, part)
	}
	require.ErrorContains(t, BLIPOptions{Plan: Plan{Batch: 4}}.Validate(), "weight 0")
	require.ErrorContains(t, BLIPOptions{Plan: Plan{Batch: 1}, ITM: 1}.Validate(), "no negatives")
	require.NoError(t, DefaultBLIP(4).Validate())
	require.NoError(t, Captioning(1).Validate())
}
