package emoji

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/source/npm"
)

func TestJudge(t *testing.T) {
	one := Content{Concepts: []string{"dog face"}}
	two := Content{Concepts: []string{"dog face", "pear"}, Relation: "left"}
	three := Content{Concepts: []string{"dog face", "pear", "tram car"}, Relation: "above"}
	for _, c := range []struct {
		name    string
		content Content
		caption string
		want    Verdict
	}{
		{"the right name", one, "a dog face", Verdict{1, 1, true, true}},
		{"a wrong name", one, "a pear", Verdict{1, 0, false, false}},
		{"no words", one, " ", Verdict{}},
		{"an emoji too many", one, "a dog face left of a pear", Verdict{2, 1, false, false}},
		{"the right relation", two, "a dog face to the left of a pear", Verdict{2, 2, true, true}},
		{"the same, seen from the other side", two, "a pear right of a dog face", Verdict{2, 2, true, true}},
		{"a wrong relation leaves the emoji right", two, "a dog face over a pear", Verdict{2, 2, true, false}},
		{"the relation turned round", two, "a pear left of a dog face", Verdict{2, 2, true, false}},
		{"one of two", two, "a pear", Verdict{1, 1, false, false}},
		{"the same one twice", two, "a pear left of a pear", Verdict{2, 2, false, false}},
		{"three", three, "a pear under a dog face and a tram car", Verdict{3, 3, true, true}},
		{"three with the third in the wrong place", three, "a pear under a tram car and a dog face", Verdict{3, 3, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.content.Judge(c.caption)) })
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a dog face to the left of a pear and a tram car")
	f.Add(" over a ")
	f.Fuzz(func(t *testing.T, caption string) {
		v := Content{Concepts: []string{"pear", "dog"}, Relation: "left"}.Judge(caption)
		if v.TrueObjects > v.Objects || v.WhollyTrue && !v.ObjectsExact {
			t.Fatalf("%q: %+v", caption, v)
		}
		Parse(caption).Key()
	})
}

func TestWithoutDrawingsTheMessageNamesTheWayOut(t *testing.T) {
	_, err := Open(t.TempDir(), Params{})
	require.ErrorContains(t, err, "source: scenes")

	t.Run("without npm", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		err := Install(context.Background(), t.TempDir(), nil)
		require.ErrorIs(t, err, npm.ErrMissing)
		require.ErrorContains(t, err, "source: scenes")
	})
	t.Run("where npm has no network", func(t *testing.T) {
		bin, dir := t.TempDir(), t.TempDir()
		script := "#!/bin/sh\necho 'npm error network request to the registry failed' >&2\nexit 1\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755))
		t.Setenv("PATH", bin+":/bin:/usr/bin")
		err := Install(context.Background(), dir, nil)
		require.ErrorContains(t, err, "network request to the registry failed")
		require.ErrorContains(t, err, "source: scenes")
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := Params{Mode: "poster", Styles: []string{"apple"}, Image: 4, MaxEmoji: 9}.WithDefaults().Validate()
	for _, want := range []string{`mode has "poster"`, `styles has "apple"`, "image is 4", "max_emoji is 9"} {
		require.ErrorContains(t, err, want)
	}
}
