package scenes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/source/sourcetest"
)

func collect(t testing.TB, s *Source, seed uint64) []sample.Sample {
	t.Helper()
	var out []sample.Sample
	for made, err := range s.Samples(context.Background(), seed) {
		require.NoError(t, err)
		out = append(out, made)
	}
	return out
}

func TestEveryCaptionOfTheGrammarIsJudgedWhollyTrue(t *testing.T) {
	for name, p := range map[string]Params{
		"one to three objects": {},
		"plain wording":        {Plain: true},
		"four to five objects": {MinObjects: 4, MaxObjects: 5, Radii: []int{2, 4}},
		"counting":             {Counting: 100, MaxCount: 6, Radii: []int{2, 4}},
		"a large image":        {Image: 100, MaxObjects: 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range collect(t, &Source{Params: p, Count: 200}, 1) {
				scene, err := ParseScene(s.Facts.Truth.Scene)
				require.NoError(t, err)
				v := scene.Judge(s.Caption)
				require.True(t, v.WhollyTrue && v.ObjectsExact, "%q of %+v: %+v", s.Caption, scene, v)
				require.Equal(t, v.Objects, v.TrueObjects)
				img, err := picture.Decode(s.Image, picture.Limits{})
				require.NoError(t, err)
				require.Equal(t, p.WithDefaults().Image, img.W)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	one := Scene{Objects: []Object{{"red", "circle", "small", 5, 5}}}
	two := Scene{Objects: []Object{{"red", "circle", "small", 5, 15}, {"blue", "ring", "large", 25, 16}}}
	three := Scene{Objects: append(two.Objects[:2:2], Object{"white", "cross", "small", 12, 28})}
	five := Scene{Counting: true, Objects: []Object{{"red", "cross", "small", 5, 5}, {"red", "cross", "small", 15, 5}, {"red", "cross", "small", 25, 5}}}
	for _, c := range []struct {
		name    string
		scene   Scene
		caption string
		want    Verdict
	}{
		{"synonyms are the same word", one, "we see a tiny red circle at the top left", Verdict{1, 1, true, true}},
		{"a wrong place leaves the object right", one, "a small red circle at the top right", Verdict{1, 1, true, false}},
		{"no place is not the whole truth", one, "a small red circle", Verdict{1, 1, true, false}},
		{"a wrong colour", one, "a small blue circle at the top left", Verdict{1, 0, false, false}},
		{"no words", one, "", Verdict{}},
		{"the order may be swapped with the relation", two, "a big blue ring to the right of a small red circle", Verdict{2, 2, true, true}},
		{"swapped without the relation is wrong", two, "a big blue ring left of a small red circle", Verdict{2, 2, true, false}},
		{"one of two objects", two, "a big blue ring at the middle right", Verdict{1, 1, false, false}},
		{"an object said twice", two, "a big blue ring right of a big blue ring", Verdict{2, 2, false, false}},
		{"a third object", three, "a small red circle left of a large blue ring and a tiny white cross", Verdict{3, 3, true, true}},
		{"any pair may be related", three, "a tiny white cross below a small red circle with a large blue ring", Verdict{3, 3, true, true}},
		{"the right number", five, "there are three tiny red crosses", Verdict{1, 1, true, true}},
		{"the wrong number", five, "four small red crosses", Verdict{1, 1, true, false}},
		{"a singular of many", five, "a small red cross at the top left", Verdict{1, 1, true, false}},
		{"a number of what is not counted", one, "three small red circles", Verdict{1, 1, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.scene.Judge(c.caption)) })
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("a small red circle left of a large blue ring")
	f.Add("three small red crosses at the")
	f.Fuzz(func(t *testing.T, caption string) {
		s := Scene{Objects: []Object{{"red", "circle", "small", 5, 5}, {"blue", "ring", "large", 25, 5}}}
		v := s.Judge(caption)
		if v.TrueObjects > v.Objects || v.WhollyTrue && !v.ObjectsExact {
			t.Fatalf("%q: %+v", caption, v)
		}
	})
}

// The digests change only with the version of the ingest kind: data sets that
// were made once would no longer be made again.
func TestTheFirstShardHasKnownBytes(t *testing.T) {
	for _, c := range []struct {
		name, want string
		source     Source
	}{
		{"default parameters", "041b042961800d22d462ba944fe675e6f7e1c323feea50a3d1d98301eb3f618c", Source{Count: 100, Split: "train"}},
		{"a gallery of 64 pixels with counting", "625e86228fa0fd2b59468fcb06ee634bcab0a42366841572d210af795d714ab3", Source{Count: 50, Split: "test", Params: Params{Image: 64, Unique: true, Counting: 20}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sha256.New()
			n, err := shard.WriteTar(h, c.source.Samples(context.Background(), 7))
			require.NoError(t, err)
			require.Equal(t, c.source.Count, n)
			require.Equal(t, c.want, hex.EncodeToString(h.Sum(nil)))
		})
	}
}

func TestAPartEqualsThatPartOfTheWhole(t *testing.T) {
	for name, p := range map[string]Params{"independent": {}, "unique": {Unique: true, MaxObjects: 1}} {
		t.Run(name, func(t *testing.T) {
			whole := collect(t, &Source{Params: p, Count: 60}, 3)
			part := collect(t, &Source{Params: p, First: 40, Count: 20}, 3)
			require.Equal(t, whole[40:], part)
		})
	}
}

func TestSeedsAndSplitsDiffer(t *testing.T) {
	a := collect(t, &Source{Count: 20}, 1)
	require.NotEqual(t, a, collect(t, &Source{Count: 20}, 2))
	require.NotEqual(t, a[0].Image, collect(t, &Source{Count: 20, Split: "test"}, 1)[0].Image)
}

func TestUniqueScenesHaveDistinctKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range collect(t, &Source{Params: Params{Unique: true, MaxObjects: 2}, Count: 400}, 5) {
		scene, err := ParseScene(s.Facts.Truth.Scene)
		require.NoError(t, err)
		require.False(t, seen[scene.Key()])
		seen[scene.Key()] = true
	}
}

func TestWhatCannotBeMadeEndsWithTheFix(t *testing.T) {
	for _, c := range []struct {
		name, want string
		params     Params
	}{
		{"more distinct scenes than there are", "only 9 distinct scenes", Params{Unique: true, MaxObjects: 1, MaxCount: 2, Colors: []string{"red"}, Shapes: []string{"ring"}, Large: 100}},
		{"more objects than have room", "lower max_objects", Params{MinObjects: 9, MaxObjects: 9, Radii: []int{11, 12}}},
		{"an unknown colour", `colors has "mauve"`, Params{Colors: []string{"mauve"}}},
		{"all faults at once", "radii are", Params{Image: 4, Radii: []int{5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var last error
			for _, err := range (&Source{Params: c.params, Count: 100}).Samples(context.Background(), 1) {
				last = err
			}
			require.ErrorContains(t, last, c.want)
		})
	}
	err := Params{Image: 4, Radii: []int{5}, Noise: 900}.WithDefaults().Validate()
	require.Equal(t, 3, len(strings.Split(err.Error(), "\n")))
}

func BenchmarkScenes(b *testing.B) {
	for _, size := range []int{32, 64} {
		b.Run(map[int]string{32: "32", 64: "64"}[size], func(b *testing.B) {
			for range (&Source{Params: Params{Image: size}, Count: b.N}).Samples(context.Background(), 1) {
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func TestSource(t *testing.T) {
	sourcetest.Run(t, func(*testing.T) sourcetest.Source { return &Source{Count: 20} })
}
