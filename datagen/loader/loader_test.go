package loader

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
)

// list is data in memory.
type list []sample.Sample

func (l list) Len() int { return len(l) }

func (l list) Sample(_ context.Context, i int) (sample.Sample, error) { return l[i], nil }

func scenesOf(t testing.TB, n, size int) list {
	t.Helper()
	var out list
	for s, err := range (&scenes.Source{Params: scenes.Params{Image: size}, Count: n}).Samples(context.Background(), 1) {
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

func flat(t testing.TB, n int, name string) list {
	t.Helper()
	var out list
	for i := range n {
		m := picture.New(4, 4)
		for j := range m.Pix {
			m.Pix[j] = byte(i)
		}
		data, err := m.PNG()
		require.NoError(t, err)
		out = append(out, sample.Sample{Key: fmt.Sprint(name, i), Image: data, Format: "png", Caption: fmt.Sprint(name, i)})
	}
	return out
}

func TestAnEpochVisitsEverySampleOnceAndDropsTheRest(t *testing.T) {
	l, err := New(Config{Batch: 4, Image: 4}, Part{Data: flat(t, 10, "a")})
	require.NoError(t, err)
	require.Equal(t, int64(2), l.StepsPerEpoch())
	epochs := map[string]bool{}
	for epoch := range int64(5) {
		var seen []int
		for step := range int64(2) {
			b, err := l.Batch(context.Background(), epoch*2+step)
			require.NoError(t, err)
			require.Equal(t, epoch, b.Epoch)
			seen = append(seen, b.Index...)
		}
		epochs[fmt.Sprint(seen)] = true
		slices.Sort(seen)
		require.Len(t, slices.Compact(seen), 8)
	}
	require.Len(t, epochs, 5, "every epoch has an order of its own")
}

func TestAMixtureHasItsWeightsAndVisitsEachPartEvenly(t *testing.T) {
	l, err := New(Config{Batch: 10, Image: 4}, Part{Data: flat(t, 90, "a"), Weight: 1}, Part{Data: flat(t, 10, "b"), Weight: 1})
	require.NoError(t, err)
	counts := [2]map[int]int{{}, {}}
	for step := range int64(90) { // nine epochs of ten steps
		b, err := l.Batch(context.Background(), step)
		require.NoError(t, err)
		for j, part := range b.Part {
			counts[part][b.Index[j]]++
		}
	}
	for part, want := range [][2]int{{5, 5}, {45, 45}} {
		require.Len(t, counts[part], []int{90, 10}[part])
		for _, n := range counts[part] {
			require.True(t, n >= want[0] && n <= want[1], "part %d: %v", part, counts[part])
		}
	}
}

func TestABatchDependsOnSeedAndStepAlone(t *testing.T) {
	data := scenesOf(t, 50, 16)
	cfg := Config{Batch: 8, Image: 16, Seed: 3, Augment: Augment{Shift: 2, Jitter: 20, Noise: 5, Zoom: 20, Flip: 50}}
	first, err := New(cfg, Part{Data: data})
	require.NoError(t, err)
	var want []*Batch
	for b, err := range first.Batches(context.Background(), 0) {
		require.NoError(t, err)
		require.Equal(t, int64(len(want)), b.Step)
		if want = append(want, b); len(want) == 15 {
			break
		}
	}
	cfg.Cache, cfg.Workers = 1, 3 // nothing fits into the cache
	second, err := New(cfg, Part{Data: data})
	require.NoError(t, err)
	for _, step := range []int64{14, 0, 7, 7} {
		got, err := second.Batch(context.Background(), step)
		require.NoError(t, err)
		require.Equal(t, want[step], got)
	}
	for b, err := range second.Batches(context.Background(), 9) {
		require.NoError(t, err)
		require.Equal(t, want[b.Step], b)
		if b.Step == 14 {
			break
		}
	}
	cfg.Seed = 4
	other, err := New(cfg, Part{Data: data})
	require.NoError(t, err)
	got, err := other.Batch(context.Background(), 0)
	require.NoError(t, err)
	require.NotEqual(t, want[0].Index, got.Index)
}

func TestLayouts(t *testing.T) {
	m := picture.New(4, 4)
	for i := range m.Pix {
		m.Pix[i] = byte(i)
	}
	data, err := m.PNG()
	require.NoError(t, err)
	raw := Config{Batch: 1, Image: 4, Std: [3]float32{1, 1, 1}}
	for _, c := range []struct {
		name  string
		cfg   Config
		start []float32
	}{
		{"channels first", raw, []float32{0, 3, 6, 9, 12, 15}},
		{"patches of (C, p, p)", Config{Batch: 1, Image: 4, Std: raw.Std, Layout: Patches, Patch: 2}, []float32{0, 3, 12, 15, 1, 4, 13, 16, 2, 5, 14, 17, 6, 9, 18, 21}},
		{"from -1 to 1", Config{Batch: 1, Image: 4}, []float32{-1, 3/127.5 - 1}},
		{"mean and deviation", Config{Batch: 1, Image: 4, Mean: [3]float32{3, 0, 0}, Std: [3]float32{2, 1, 1}}, []float32{-1.5, 0, 1.5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := New(c.cfg, Part{Data: list{{Key: "k", Image: data}}})
			require.NoError(t, err)
			b, err := l.Batch(context.Background(), 0)
			require.NoError(t, err)
			require.InDeltaSlice(t, c.start, b.Images[:len(c.start)], 1e-6)
			out := make([]float32, l.ImageLen())
			require.NoError(t, l.Preprocess(data, out))
			require.Equal(t, b.Images, out)
		})
	}
}

func TestAugmentationStaysWithinItsLimits(t *testing.T) {
	m := picture.New(8, 8)
	for i := range m.Pix {
		m.Pix[i] = 100
	}
	scratch := picture.New(8, 8)
	changed := false
	for i := range uint64(200) {
		got := Augment{Shift: 3, Jitter: 10, Noise: 4, Zoom: 30, Flip: 50}.apply(m, scratch, sample.Random(1, "t", i))
		for _, v := range got.Pix {
			require.InDelta(t, 100, int(v), 10+5.5+4+1)
			changed = changed || v != 100
		}
	}
	require.True(t, changed)
	require.Equal(t, byte(100), m.Pix[0])
}

func TestFlipMirrors(t *testing.T) {
	m := picture.New(2, 2)
	copy(m.Pix, []byte{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4})
	got := Augment{Flip: 100}.apply(m, picture.New(2, 2), sample.Random(1, "t", 0))
	require.Equal(t, []byte{2, 2, 2, 1, 1, 1, 4, 4, 4, 3, 3, 3}, got.Pix)
}

func TestWhatCannotBeLoaded(t *testing.T) {
	ten := Part{Data: flat(t, 10, "a")}
	for _, c := range []struct {
		name, want string
		cfg        Config
		parts      []Part
	}{
		{"fewer samples than a batch", "10 samples do not fill a batch of 11", Config{Batch: 11}, []Part{ten}},
		{"no data", "no training data", Config{Batch: 1}, nil},
		{"an empty part", "part 1 of the training data is empty", Config{Batch: 1}, []Part{ten, {Data: list{}}}},
		{"a negative weight", "weight -1", Config{Batch: 1}, []Part{{Data: ten.Data, Weight: -1}}},
		{"a patch that does not divide", "divisor", Config{Batch: 1, Image: 10, Layout: Patches, Patch: 4}, []Part{ten}},
		{"unknown words", `layout is "hwc"`, Config{Batch: 1, Layout: "hwc", Fit: "pad"}, []Part{ten}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cfg, c.parts...)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestABrokenImageIsNamed(t *testing.T) {
	l, err := New(Config{Batch: 1}, Part{Data: list{{Key: "bad", Image: []byte("x")}}})
	require.NoError(t, err)
	for _, err := range l.Batches(context.Background(), 0) {
		require.ErrorContains(t, err, "sample bad: ")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range l.Batches(ctx, 0) {
		require.Error(t, err)
	}
}

func BenchmarkBatches(b *testing.B) {
	for _, c := range []struct {
		name  string
		size  int
		cache int64
		aug   Augment
	}{
		{"32", 32, 0, Augment{}},
		{"32-augmented", 32, 0, Augment{Shift: 2, Jitter: 20}},
		{"32-uncached", 32, 1, Augment{}},
		{"64", 64, 0, Augment{}},
		{"64-uncached", 64, 1, Augment{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := New(Config{Batch: 64, Image: c.size, Cache: c.cache, Augment: c.aug}, Part{Data: scenesOf(b, 1000, c.size)})
			require.NoError(b, err)
			n := 0
			b.ResetTimer()
			for batch, err := range l.Batches(context.Background(), 0) {
				require.NoError(b, err)
				if math.IsNaN(float64(batch.Images[0])) {
					b.Fatal("NaN")
				}
				if n++; n >= b.N {
					break
				}
			}
			b.ReportMetric(float64(64*n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func TestImagesThatKeepTheirShapesFitTheirRoom(t *testing.T) {
	n := Native{Unit: 8, Side: 12, Square: 20}
	for _, c := range []struct{ w, h, across, down int }{
		{8, 8, 1, 1}, {3, 200, 1, 12}, {16, 40, 2, 5}, {19, 21, 2, 3}, {4000, 3000, 5, 4}, {3000, 4000, 4, 5}, {1, 4096, 1, 12}, {4096, 1, 12, 1}, {40, 40, 4, 4},
	} {
		w, h := n.Fit(c.w, c.h)
		require.Equal(t, []int{8 * c.across, 8 * c.down}, []int{w, h}, "%d x %d", c.w, c.h)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		w, h := n.Fit(1+r.IntN(3000), 1+r.IntN(3000))
		require.True(t, w%8 == 0 && h%8 == 0 && w >= 8 && h >= 8 && w <= 96 && h <= 96 && w/8*(h/8) <= 20, "%d x %d", w, h)
	}
}

func TestABatchOfImagesThatKeepTheirShapes(t *testing.T) {
	var data list
	for i, size := range [][2]int{{24, 8}, {8, 24}, {16, 16}} {
		m := picture.New(size[0], size[1])
		for k := range m.Pix {
			m.Pix[k] = byte(k)
		}
		png, err := m.PNG()
		require.NoError(t, err)
		data = append(data, sample.Sample{Key: fmt.Sprint(i), Image: png, Format: "png", Caption: fmt.Sprint(i)})
	}
	for _, augment := range []Augment{{}, {Flip: 50, Shift: 2, Jitter: 10, Noise: 3, Zoom: 20}} {
		l, err := New(Config{Batch: 3, Native: &Native{Unit: 8, Side: 4, Square: 16}, Augment: augment}, Part{Data: data})
		require.NoError(t, err)
		b, err := l.Batch(context.Background(), 4)
		require.NoError(t, err)
		again, err := l.Batch(context.Background(), 4)
		require.NoError(t, err)
		require.Equal(t, b, again)
		require.Nil(t, b.Images)
		for i, s := range b.Sized {
			want, err := picture.Decode(data[b.Index[i]].Image, picture.Limits{})
			require.NoError(t, err)
			require.Equal(t, []int{want.W, want.H, 3 * want.W * want.H}, []int{s.Width, s.Height, len(s.Pixels)})
			if augment.active() {
				continue
			}
			whole, err := l.PreprocessNative(data[b.Index[i]].Image)
			require.NoError(t, err)
			require.Equal(t, whole, s)
			x, y := want.W-1, want.H-1
			at := want.Pix[3*(y*want.W+x)+2]
			require.InDelta(t, (float32(at)-127.5)/127.5, s.Pixels[(2*want.H+y)*want.W+x], 1e-6, "the last channel's last pixel")
		}
	}
	_, err := New(Config{Batch: 1, Native: &Native{}}, Part{Data: data})
	require.ErrorContains(t, err, "use 1 or more of each")
}
