package document

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact/mem"
)

func stream(docs ...Document) Stream {
	return func(yield func(Document, error) bool) {
		for _, d := range docs {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func TestDocumentsComeBackAsTheyWere(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	w := NewWriter(store, "train", Meta{Title: "T"})
	w.limit = 10_000
	var want []Document
	for i := range 40 {
		d := Document{ID: fmt.Sprint(i), Text: strings.Repeat(fmt.Sprintf("<line %d>\n\u2028ü", i), 60), Source: "s"}
		want = append(want, d)
		require.NoError(t, w.Add(ctx, d))
	}
	a, err := w.Close(ctx)
	require.NoError(t, err)
	var got []Document
	for d, err := range All(ctx, store, a) {
		require.NoError(t, err)
		got = append(got, d)
	}
	require.Equal(t, want, got)
	meta, err := LoadMeta(ctx, store, a)
	require.NoError(t, err)
	require.Equal(t, 40, meta.Documents)
	require.Greater(t, len(w.files), 1)

	for d, err := range All(ctx, store, a) { // leaving early is no error
		require.NoError(t, err)
		if d.ID == "3" {
			break
		}
	}
}

func TestEqualDocumentsAreLeftOut(t *testing.T) {
	dropped := 0
	var ids []string
	for d, err := range Dedup(stream(Document{ID: "a", Text: "x"}, Document{ID: "b", Text: "y"}, Document{ID: "c", Text: "x"}, Document{ID: "d", Text: "x "}), &dropped) {
		require.NoError(t, err)
		ids = append(ids, d.ID)
	}
	require.Equal(t, []string{"a", "b", "d"}, ids)
	require.Equal(t, 1, dropped)
}

func TestTheSplitIsAFunctionOfTheText(t *testing.T) {
	held := 0
	for i := range 10_000 {
		text := fmt.Sprint("document ", i)
		if HeldOut(text, 0.05) {
			held++
			require.True(t, HeldOut(text, 0.1), "a larger share holds what a smaller one held")
		}
	}
	require.InDelta(t, 500, held, 70)
	require.False(t, HeldOut("x", 0))
	require.True(t, HeldOut("x", 1))
}
