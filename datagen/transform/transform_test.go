package transform

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
	"tempera/datagen/truth"
)

func stream(samples ...sample.Sample) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func collect(t *testing.T, in sample.Stream) (out []sample.Sample, faults []string) {
	t.Helper()
	for s, err := range in {
		var fault *sample.Fault
		if errors.As(err, &fault) {
			faults = append(faults, fault.Item+": "+fault.Reason)
			continue
		}
		require.NoError(t, err)
		out = append(out, s)
	}
	return out, faults
}

func world(n int) sample.Stream {
	return (&scenes.Source{Count: n}).Samples(context.Background(), 2)
}

func TestNoise(t *testing.T) {
	for _, c := range []struct {
		name  string
		noise Noise
		want  map[string]int
	}{
		{"half mismatched", Noise{Mismatch: .5, Seed: 1}, map[string]int{"": 200, NoiseMismatch: 200}},
		{"all mismatched", Noise{Mismatch: 1}, map[string]int{NoiseMismatch: 400}},
		{"every kind", Noise{Mismatch: .25, Keywords: .25, Boilerplate: .25, Truncation: .25}, map[string]int{NoiseMismatch: 100, NoiseKeywords: 100, NoiseBoilerplate: 100, NoiseTruncation: 100}},
		{"none", Noise{}, map[string]int{"": 400}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clean, _ := collect(t, world(400))
			noisy, err := c.noise.Apply(world(400))
			require.NoError(t, err)
			got, _ := collect(t, noisy)
			again, _ := collect(t, noisy)
			require.Equal(t, got, again)
			counts, wrong := map[string]int{}, 0
			for i, s := range got {
				require.Equal(t, clean[i].Key, s.Key)
				require.Equal(t, clean[i].Image, s.Image)
				require.Equal(t, clean[i].Caption, s.Facts.Truth.Caption)
				require.Equal(t, "web", s.Facts.Origin)
				counts[s.Facts.Truth.Noise]++
				right, known := truth.CaptionIsTrue(s)
				require.True(t, known)
				if !right {
					wrong++
				}
				if s.Facts.Truth.Noise == "" {
					require.True(t, right)
				}
			}
			require.Equal(t, c.want, counts)
			require.InDelta(t, 400-c.want[""], wrong, 12) // a caption may be right of another image
		})
	}
}

func TestMismatchGivesEveryCaptionToExactlyOneOther(t *testing.T) {
	var in []sample.Sample
	for i := range 100 {
		in = append(in, sample.Sample{Key: fmt.Sprint(i), Caption: fmt.Sprint("caption ", i)})
	}
	noisy, err := Noise{Mismatch: .4, Seed: 9}.Apply(stream(in...))
	require.NoError(t, err)
	got, _ := collect(t, noisy)
	seen := map[string]bool{}
	for i, s := range got {
		require.False(t, seen[s.Caption])
		seen[s.Caption] = true
		require.Equal(t, s.Facts.Truth.Noise == NoiseMismatch, s.Caption != in[i].Caption)
	}
	require.Nil(t, in[0].Facts.Truth, "the input is not written to")
}

func TestNoiseThatAddsUpToMoreThanAllIsRefused(t *testing.T) {
	require.ErrorContains(t, Noise{Mismatch: .7, Keywords: .7}.Validate(), "add up to 1.4")
	require.ErrorContains(t, Noise{Mismatch: -1}.Validate(), "from 0 to 1")
}

func imageOf(t *testing.T, pattern func(x, y int) byte, size int) *picture.RGB {
	t.Helper()
	m := picture.New(size, size)
	for i := range m.Pix {
		p := i / 3
		m.Pix[i] = pattern(p%size*64/size, p/size*64/size)
	}
	return m
}

func TestDifferenceHashSeesThroughSizeAndBrightness(t *testing.T) {
	waves := func(x, y int) byte { return byte(x*x/30 + (y*37)%90) }
	other := func(x, y int) byte { return byte(200 - x*2 + (x*y)%50) }
	a := DifferenceHash(imageOf(t, waves, 64))
	distance := func(h uint64) int {
		n := 0
		for d := a ^ h; d != 0; d &= d - 1 {
			n++
		}
		return n
	}
	require.LessOrEqual(t, distance(DifferenceHash(imageOf(t, waves, 200))), 6)
	dark := imageOf(t, func(x, y int) byte { return waves(x, y) / 2 }, 64)
	require.LessOrEqual(t, distance(DifferenceHash(dark)), 6)
	require.Greater(t, distance(DifferenceHash(imageOf(t, other, 64))), 16)
}

func TestDedup(t *testing.T) {
	png := func(pattern func(x, y int) byte) []byte {
		data, err := imageOf(t, pattern, 64).PNG()
		require.NoError(t, err)
		return data
	}
	rising, falling := png(func(x, _ int) byte { return byte(3 * x) }), png(func(x, _ int) byte { return byte(250 - 3*x) })
	in := stream(
		sample.Sample{Key: "a", Image: rising, Caption: "one"}, sample.Sample{Key: "b", Image: falling, Caption: "one"},
		sample.Sample{Key: "c", Image: rising, Caption: "two"}, sample.Sample{Key: "d", Image: rising, Caption: "one"},
		sample.Sample{Key: "e", Image: []byte("x")})
	for _, c := range []struct {
		name string
		d    Dedup
		want []string
	}{
		{"by image", Dedup{Distance: 2}, []string{"a", "b"}},
		{"by image and caption", Dedup{Match: "pair"}, []string{"a", "b", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dropped := map[string]string{}
			got, faults := collect(t, c.d.Apply(in, func(key, of string) { dropped[key] = of }))
			var keys []string
			for _, s := range got {
				keys = append(keys, s.Key)
			}
			require.Equal(t, c.want, keys)
			require.Equal(t, "a", dropped["d"])
			require.Equal(t, []string{"e: " + sample.ReasonFormat}, faults)
		})
	}
}

func TestTheHashIndexFindsAllWithinTheDistance(t *testing.T) {
	rng := sample.Random(1, "test", 0)
	for distance := range 9 {
		x := newHashIndex(distance)
		h := rng.Uint64()
		x.add(h, "", "first")
		for range 200 {
			flipped := h
			for _, bit := range rng.Perm(64)[:distance] {
				flipped ^= 1 << bit
			}
			_, dup := x.add(flipped, "", "near")
			require.True(t, dup)
		}
		far := h
		for _, bit := range rng.Perm(64)[:distance+1] {
			far ^= 1 << bit
		}
		_, dup := x.add(far, "", "far")
		require.False(t, dup)
	}
}

func TestMerge(t *testing.T) {
	part := func(name string, n int) Part {
		var in []sample.Sample
		for i := range n {
			in = append(in, sample.Sample{Key: fmt.Sprint(name, i)})
		}
		return Part{Stream: stream(in...), Records: n}
	}
	weighted := func(p Part, w float64) Part { p.Weight = w; return p }
	for _, c := range []struct {
		name  string
		parts []Part
		count int
		want  []string
	}{
		{"one after the other", []Part{part("a", 2), part("b", 1)}, 0, []string{"p0-a0", "p0-a1", "p1-b0"}},
		{"twice", []Part{weighted(part("a", 2), 2)}, 0, []string{"p0-a0", "p0-a1", "p0r1-a0", "p0r1-a1"}},
		{"cut to a count", []Part{part("a", 2), part("b", 5)}, 3, []string{"p0-a0", "p0-a1", "p1-b0"}},
		{"repeated to a count", []Part{part("a", 2), part("b", 1)}, 5, []string{"p0-a0", "p0-a1", "p1-b0", "p0r0n1-a0", "p0r0n1-a1"}},
		{"nothing repeated stays nothing", []Part{part("a", 0)}, 5, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := collect(t, Merge(c.parts, c.count, 1))
			var keys []string
			for _, s := range got {
				keys = append(keys, s.Key)
			}
			require.Equal(t, c.want, keys)
		})
	}
	t.Run("a broken weight takes a part of the last repetition", func(t *testing.T) {
		got, _ := collect(t, Merge([]Part{weighted(part("a", 10), 1.5)}, 0, 1))
		require.Len(t, got, 15)
		got, _ = collect(t, Merge([]Part{weighted(part("a", 10), .3)}, 0, 1))
		require.Len(t, got, 3)
	})
}

func TestImagesAreCheckedResizedAndNamedByWhatTheyAre(t *testing.T) {
	data, err := imageOf(t, func(x, _ int) byte { return byte(x) }, 20).Crop(0, 0, 20, 10).PNG()
	require.NoError(t, err)
	in := stream(sample.Sample{Key: "a", Image: data, Format: "jpg"}, sample.Sample{Key: "b", Image: data[:30]}, sample.Sample{Key: "a", Image: data})
	got, faults := collect(t, UniqueKeys(CheckImages(in, picture.Limits{})))
	require.Len(t, got, 1)
	require.Equal(t, "png", got[0].Format)
	require.Equal(t, []string{"b: " + sample.ReasonBroken, "a: " + sample.ReasonDuplicate}, faults)
	for quality, format := range map[int]string{0: "png", 90: "jpg"} {
		got, _ = collect(t, Resize(stream(got[0]), Resizing{Side: 6, Quality: quality}))
		require.Equal(t, format, got[0].Format)
		m, err := picture.Decode(got[0].Image, picture.Limits{})
		require.NoError(t, err)
		require.Equal(t, [2]int{6, 6}, [2]int{m.W, m.H})
	}
}
