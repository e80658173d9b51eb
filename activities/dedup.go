package activities

import (
	"context"

	"tempera/datagen/shard"
	"tempera/datagen/transform"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type dedupParams struct {
	Distance int    `json:"distance" doc:"Bits of the 64 of a perceptual hash by which duplicates may differ." min:"0" max:"16"`
	Match    string `json:"match" doc:"Images that are alike are duplicates, or only with the same caption (pair)." enum:"image,pair"`
}

// dedup leaves the first of every group of images that look alike.
func dedup() Kind {
	return define(stage.Descriptor{
		Name: "dedup", Version: 1, Queue: stage.CPU,
		Summary: "Leave out images that look like an earlier one",
		Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset, Doc: "Any pairs."}},
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "The first of every group of duplicates."}},
	}, dedupParams{Distance: 2, Match: "image"}, runDedup)
}

func runDedup(ctx context.Context, t *Task, p dedupParams) error {
	return overDataset(ctx, t, func(d *shard.Dataset) error {
		dropped := 0
		stream := transform.Dedup{Distance: p.Distance, Match: p.Match}.Apply(d.All(ctx), func(key, of string) {
			t.Log.Debug("duplicate", "key", key, "of", of)
			dropped++
		})
		if err := writeDataset(ctx, t, stream, likeDataset(d)); err != nil {
			return err
		}
		t.Metric("duplicates", float64(dropped))
		return nil
	})
}
