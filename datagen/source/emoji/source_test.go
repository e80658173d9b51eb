package emoji

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/source/sourcetest"
)

// install lays out a data folder as Install does, with drawings of our own: a
// disc on a transparent ground, in a colour for each emoji.
func install(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(packages.Folder(dir), "node_modules")
	var entries []entry
	keywords := map[string][]string{}
	names := []string{"RED APPLE", "PEAR", "DOG FACE", "HOUSE", "TWO WORDS MORE", "T-SHIRT", "TRAIN", "FLAG"}
	for i, name := range names {
		e := entry{Name: name, Unified: fmt.Sprintf("1F60%d-FE0F", i), Image: fmt.Sprintf("1f60%d.png", i), Category: "Objects", HasGoogle: true, HasTwitter: name != "TRAIN"}
		if name == "FLAG" {
			e.Category = "Flags"
		}
		entries = append(entries, e)
		keywords[string(rune(0x1F600+i))+"\ufe0f"] = []string{"thing_of_use", ":)", "Thing"}
		for _, style := range Styles {
			m := image.NewNRGBA(image.Rect(0, 0, 64, 64))
			for p := range 64 * 64 {
				if dx, dy := p%64-32, p/64-32; dx*dx+dy*dy < 900 {
					m.SetNRGBA(p%64, p/64, color.NRGBA{byte(20 * i), 90, 200, 255})
				}
			}
			path := filepath.Join(root, "emoji-datasource-"+style, "img", style, "64", e.Image)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			f, err := os.Create(path)
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, m))
			require.NoError(t, f.Close())
		}
	}
	write := func(v any, path ...string) {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		file := filepath.Join(append([]string{root}, path...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, text, 0o644))
	}
	write(entries, packages.Packages[0].Name, "emoji.json")
	write(keywords, packages.Packages[2].Name, "dist", "emoji-en-US.json")
	for _, p := range packages.Packages {
		write(map[string]string{"version": p.Version}, p.Name, "package.json")
	}
	return dir
}

func TestSource(t *testing.T) {
	dir := install(t)
	for name, p := range map[string]Params{
		"collages":          {Concepts: 4},
		"collages of three": {Concepts: 4, MaxEmoji: 3, Pairs: 100, Image: 48},
		"single emoji":      {Concepts: 4, Mode: "single", Captions: "keywords"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Source {
				s, err := Open(dir, p)
				require.NoError(t, err)
				s.Count = 20
				return s
			})
		})
	}
}

func samples(t *testing.T, p Params, count int) []sample.Sample {
	t.Helper()
	s, err := Open(install(t), p)
	require.NoError(t, err)
	s.Count = count
	var out []sample.Sample
	for got, err := range s.Samples(context.Background(), 1) {
		require.NoError(t, err)
		out = append(out, got)
	}
	return out
}

func TestConceptsHaveAPlainNameACategoryAndEveryStyle(t *testing.T) {
	s, err := Open(install(t), Params{Concepts: 4})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"red apple", "pear", "dog face", "house"}, s.Concepts())
	_, err = Open(install(t), Params{Concepts: 5})
	require.ErrorContains(t, err, "the categories have 4")
	held, err := Open(install(t), Params{Concepts: 2, FirstConcept: 2})
	require.NoError(t, err)
	require.Equal(t, s.Concepts()[2:], held.Concepts())
}

func TestEveryCollageIsDescribedByItsCaption(t *testing.T) {
	for name, p := range map[string]Params{"two": {Concepts: 4}, "three": {Concepts: 4, MaxEmoji: 3, Pairs: 100}} {
		t.Run(name, func(t *testing.T) {
			seen := map[int]bool{}
			for _, s := range samples(t, p, 200) {
				c, err := ParseContent(s.Facts.Truth.Scene)
				require.NoError(t, err)
				require.True(t, c.Judge(s.Caption).WhollyTrue, "%q of %+v", s.Caption, c)
				seen[len(c.Concepts)] = true
			}
			require.Len(t, seen, 2)
		})
	}
}

// The emoji of the fixture differ in red only, so that a caption can be checked
// against the pixels.
func TestTheFirstEmojiLiesWhereTheCaptionSays(t *testing.T) {
	src, err := Open(install(t), Params{Concepts: 4, Pairs: 100})
	require.NoError(t, err)
	for i := range 100 {
		rng := sample.Random(uint64(i), "test", 0)
		l := src.plan(i, rng)
		a, b := l.icons[0], l.icons[1]
		far := map[string]bool{
			"left": a.x+a.size <= b.x, "right": b.x+b.size <= a.x, "above": a.y+a.size <= b.y, "below": b.y+b.size <= a.y,
		}
		require.True(t, far[l.content.Relation], "%+v", l)
		for _, at := range l.icons {
			require.True(t, at.x >= 0 && at.y >= 0 && at.x+at.size <= 32 && at.y+at.size <= 32, "%+v", l)
		}
	}
}

func TestThreeEmojiDoNotOverlap(t *testing.T) {
	src, err := Open(install(t), Params{Concepts: 4, Pairs: 100, MaxEmoji: 3})
	require.NoError(t, err)
	for i := range 200 {
		l := src.plan(i, sample.Random(uint64(i), "test", 0))
		for j, a := range l.icons {
			for _, b := range l.icons[:j] {
				require.False(t, a.x < b.x+b.size && b.x < a.x+a.size && a.y < b.y+b.size && b.y < a.y+a.size, "%+v", l)
			}
		}
	}
}

func TestSingleEmojiComeOnceInEveryStyle(t *testing.T) {
	got := samples(t, Params{Concepts: 3, Mode: "single", Image: 16}, 0)
	require.Len(t, got, 6)
	seen := map[string]bool{}
	for _, s := range got {
		seen[s.Facts.Style+" "+s.Caption] = true
		m, err := picture.Decode(s.Image, picture.Limits{})
		require.NoError(t, err)
		require.Equal(t, 16, m.W)
		require.Equal(t, []byte{255, 255, 255}, m.Pix[:3], "the ground is white")
	}
	require.Len(t, seen, 6)
}

func TestKeywordCaptionsKeepTheirTruth(t *testing.T) {
	for _, s := range samples(t, Params{Concepts: 4, Captions: "keywords"}, 30) {
		require.Equal(t, "keywords", s.Facts.Truth.Noise)
		require.NotEqual(t, s.Facts.Truth.Caption, s.Caption)
		require.Regexp(t, `^(thing( of use)? ?)+$`, s.Caption)
	}
}

func TestHoldingOutAStyle(t *testing.T) {
	for _, s := range samples(t, Params{Concepts: 4, Styles: []string{"twitter"}}, 30) {
		require.Equal(t, "twitter", s.Facts.Style)
	}
}

func TestUniquePicturesRunOutWithAMessage(t *testing.T) {
	s, err := Open(install(t), Params{Concepts: 2, Unique: true})
	require.NoError(t, err)
	s.Count = 100
	var last error
	n := 0
	for _, err := range s.Samples(context.Background(), 1) {
		if last = err; err == nil {
			n++
		}
	}
	require.ErrorContains(t, last, "only 6 distinct pictures found")
	require.Equal(t, 6, n)
}
