package example_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

func TestPartsJoinedAreTheRowsOfAllWithTheirPictures(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	var parts []artifact.Artifact
	var want []string
	for k := range 3 {
		w := example.NewWriter(store, "part", example.Meta{Title: fmt.Sprint(k), License: []string{"MIT"}})
		for i := range k { // the first part is empty
			e := &example.Example{ID: fmt.Sprintf("%d-%d", k, i), Prompt: example.Plain("p"), Pictures: [][]byte{png}}
			e.Images = []string{"x.png"}
			if err := w.Add(ctx, e); err != nil {
				t.Fatal(err)
			}
			want = append(want, e.ID)
		}
		a, err := w.Close(ctx)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, a)
	}
	joined, err := example.Join(ctx, store, "all", parts)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := example.Load(ctx, store, joined)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range rows {
		got = append(got, e.ID)
		if len(e.Pictures) != 1 || string(e.Pictures[0]) != string(png) {
			t.Errorf("row %s has no picture", e.ID)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	meta, err := example.LoadMeta(ctx, store, joined)
	if err != nil {
		t.Fatal(err)
	}
	if meta.Rows != 3 || meta.Images != 3 || len(meta.License) != 1 || meta.Forms[example.Question] != 3 {
		t.Errorf("meta is %+v", meta)
	}
	var second []string
	for e, err := range example.Shard(ctx, store, joined, 1) {
		if err != nil {
			t.Fatal(err)
		}
		second = append(second, e.ID)
	}
	if d := cmp.Diff([]string{"2-0", "2-1"}, second); d != "" {
		t.Error(d)
	}
	for _, err := range example.Shard(ctx, store, joined, 2) {
		if err == nil {
			t.Error("there is no third shard")
		}
	}
}
