package activities

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

// runKind runs a kind on a store, as the runtime does, without Temporal.
func runKind(t *testing.T, store artifact.Store, k Kind, params string, data ...artifact.Artifact) (*stage.Result, error) {
	t.Helper()
	resolved, err := k.Check([]byte(params))
	require.NoError(t, err)
	task := &Task{
		Request: stage.Request{Kind: k.Describe().Name, Params: resolved, Inputs: map[string][]artifact.Artifact{"data": data}},
		Store:   store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(),
		Progress: func(Progress) {}, Result: &stage.Result{},
	}
	return task.Result, k.Run(context.Background(), task)
}

func dataset(t *testing.T, store artifact.Store, k Kind, params string, data ...artifact.Artifact) (artifact.Artifact, []sample.Sample) {
	t.Helper()
	res, err := runKind(t, store, k, params, data...)
	require.NoError(t, err)
	d, err := shard.Open(context.Background(), store, res.Outputs["dataset"], t.TempDir())
	require.NoError(t, err)
	var out []sample.Sample
	for s, err := range d.All(context.Background()) {
		require.NoError(t, err)
		out = append(out, s)
	}
	require.NoError(t, d.Close())
	require.Equal(t, float64(len(out)), res.Metrics["records"])
	return res.Outputs["dataset"], out
}

func TestDataKindsAcceptNoParameters(t *testing.T) {
	for _, k := range []Kind{ingest(), noise(), dedup(), merge()} {
		_, err := k.Check([]byte(`{}`))
		require.NoError(t, err, k.Describe().Name)
		_, err = k.Check([]byte(`{"nonsense":1}`))
		require.ErrorContains(t, err, "nonsense")
	}
}

func TestFromScenesToANoisyReplicatedSet(t *testing.T) {
	store := mem.New()
	web, clean := dataset(t, store, ingest(), `{"count":120,"seed":3,"shard_records":50,"split":"web"}`)
	again, _ := dataset(t, store, ingest(), `{"count":120,"seed":3,"shard_records":50,"split":"web"}`)
	require.Equal(t, web, again, "the same parameters give the same bytes")
	require.Len(t, clean, 120)

	noisy, spoiled := dataset(t, store, noise(), `{"mismatch":0.5,"seed":1}`, web)
	wrong := 0
	for _, s := range spoiled {
		if right, known := truth.CaptionIsTrue(s); known && !right {
			wrong++
		}
	}
	require.InDelta(t, 60, wrong, 4)

	_, merged := dataset(t, store, merge(), `{"weights":[1,0.5],"name":"mix"}`, noisy, web)
	require.Len(t, merged, 180)
	_, replicated := dataset(t, store, merge(), `{"count":300}`, noisy)
	require.Len(t, replicated, 300)
	_, kept := dataset(t, store, dedup(), `{"match":"pair","distance":0}`, mustMerge(t, store, web, web))
	require.Len(t, kept, 120)
}

func mustMerge(t *testing.T, store artifact.Store, sets ...artifact.Artifact) artifact.Artifact {
	t.Helper()
	a, _ := dataset(t, store, merge(), `{}`, sets...)
	return a
}

func TestUniqueGalleriesHaveNoTwoAlike(t *testing.T) {
	_, gallery := dataset(t, mem.New(), ingest(), `{"count":200,"unique":true,"split":"gallery","params":{"max_objects":2}}`)
	seen := map[string]bool{}
	for _, s := range gallery {
		require.False(t, seen[truth.Key(s.Facts)])
		seen[truth.Key(s.Facts)] = true
	}
}

// folderOf writes good images with captions, and broken ones.
func folderOf(t *testing.T, good, broken int) string {
	t.Helper()
	dir, i := t.TempDir(), 0
	_, images := dataset(t, mem.New(), ingest(), `{"count":`+string(must(json.Marshal(max(good, 1))))+`}`)
	put := func(data []byte) {
		name := filepath.Join(dir, string(rune('a'+i/26))+string(rune('a'+i%26)))
		require.NoError(t, os.WriteFile(name+".png", data, 0o644))
		require.NoError(t, os.WriteFile(name+".txt", []byte("a caption"), 0o644))
		i++
	}
	for _, s := range images[:good] {
		put(s.Image)
	}
	for range broken {
		put(images[0].Image[:60])
	}
	return dir
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestOwnDataWithBrokenImages(t *testing.T) {
	for _, c := range []struct {
		name         string
		good, broken int
		budget       string
		want         string // of the error; "" succeeds
	}{
		{"all good", 20, 0, "1%", ""},
		{"below the budget", 18, 2, "10%", ""},
		{"above the budget", 17, 3, "10%", "3 of 20, and max_bad is 10%: 3 x broken image (ar: broken image"},
		{"above a number", 17, 3, "2", "3 of 20"},
		{"all broken", 0, 4, "100%", "all 4"},
		{"none", 0, 0, "1%", "there is nothing to read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folderOf(t, c.good, c.broken)
			params := must(json.Marshal(map[string]any{"source": "webdataset", "params": map[string]any{"from": []string{dir}}, "max_bad": c.budget}))
			res, err := runKind(t, mem.New(), ingest(), string(params))
			require.Len(t, res.Quarantined, c.broken)
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, float64(c.good), res.Metrics["records"])
				require.Equal(t, float64(c.broken), res.Metrics["quarantined"])
				return
			}
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.True(t, errors.As(err, &final), "it is not tried again")
		})
	}
}

func TestImagesAreResizedOnTheWayIn(t *testing.T) {
	dir := folderOf(t, 3, 0)
	params := must(json.Marshal(map[string]any{"source": "webdataset", "params": map[string]any{"from": []string{dir}}, "resize": 12}))
	_, got := dataset(t, mem.New(), ingest(), string(params))
	for _, s := range got {
		m, err := picture.Decode(s.Image, picture.Limits{})
		require.NoError(t, err)
		require.Equal(t, [2]int{12, 12}, [2]int{m.W, m.H})
	}
}

func TestPlacesThatAreNotThereAreNotTriedAgain(t *testing.T) {
	_, err := runKind(t, mem.New(), ingest(), `{"source":"webdataset","params":{"from":["/nowhere/at/all"]}}`)
	require.ErrorIs(t, err, fs.ErrNotExist)
	var final *permanent
	require.True(t, errors.As(err, &final))
}

func TestWrongParametersOfDataKinds(t *testing.T) {
	for _, c := range []struct {
		name, params, want string
		kind               Kind
	}{
		{"an unknown source", `{"source":"imagenet"}`, "source", ingest()},
		{"parameters that the source does not have", `{"params":{"concepts":3}}`, "it takes image", ingest()},
		{"a budget that is none", `{"max_bad":"some"}`, "max_bad", ingest()},
		{"own data cannot be asked to be unique", `{"source":"webdataset","unique":true,"params":{"from":["x"]}}`, "use the kind dedup", ingest()},
		{"a split that is no file name", `{"split":"a/b"}`, "split", ingest()},
		{"shares above one", `{"mismatch":0.6,"truncation":0.6}`, "add up to 1.2", noise()},
		{"a distance above the limit", `{"distance":40}`, "distance", dedup()},
		{"a weight of zero", `{"weights":[0]}`, "weights", merge()},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.kind.Check([]byte(c.params))
			require.ErrorContains(t, err, c.want)
			var params *ParamsError
			require.True(t, errors.As(err, &params))
		})
	}
	_, err := runKind(t, mem.New(), merge(), `{"weights":[1,2]}`)
	require.ErrorContains(t, err, "2 numbers for 0 inputs")
}

func TestAStoppingWorkerGivesTheStageBack(t *testing.T) {
	k := ingest()
	resolved, err := k.Check([]byte(`{}`))
	require.NoError(t, err)
	stopping := make(chan struct{})
	close(stopping)
	err = k.Run(context.Background(), &Task{
		Request: stage.Request{Params: resolved}, Store: mem.New(), Log: slog.New(slog.DiscardHandler),
		Progress: func(Progress) {}, Result: &stage.Result{}, Stopping: stopping,
	})
	require.ErrorIs(t, err, ErrStopped)
}
