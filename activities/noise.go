package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/shard"
	"tempera/datagen/transform"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type noiseParams struct {
	Mismatch    float64 `json:"mismatch" doc:"Share of captions that are another image's." min:"0" max:"1"`
	Keywords    float64 `json:"keywords" doc:"Share of captions that become a few search words." min:"0" max:"1"`
	Boilerplate float64 `json:"boilerplate" doc:"Share of captions that become what shops and cameras write." min:"0" max:"1"`
	Truncation  float64 `json:"truncation" doc:"Share of captions that lose their end." min:"0" max:"1"`
	Seed        uint64  `json:"seed" doc:"Chooses which captions." min:"0"`
}

func (p noiseParams) noise() transform.Noise {
	return transform.Noise{Mismatch: p.Mismatch, Keywords: p.Keywords, Boilerplate: p.Boilerplate, Truncation: p.Truncation, Seed: p.Seed}
}

// Validate reports what no tag can say.
func (p noiseParams) Validate() error { return p.noise().Validate() }

// noise spoils captions, and keeps their truth for scoring.
func noise() Kind {
	return define(stage.Descriptor{
		Name: "noise", Version: 1, Queue: stage.CPU,
		Summary: "Spoil a share of the captions as the web does; the truth is kept for scoring",
		Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset, Doc: "Pairs with right captions."}},
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "The same pairs, some with spoiled captions."}},
	}, noiseParams{Mismatch: 0.5}, runNoise)
}

func runNoise(ctx context.Context, t *Task, p noiseParams) error {
	return overDataset(ctx, t, func(d *shard.Dataset) error {
		stream, err := p.noise().Apply(d.All(ctx))
		if err != nil {
			return err
		}
		return writeDataset(ctx, t, stream, likeDataset(d))
	})
}

// overDataset opens the one data set of the input "data".
func overDataset(ctx context.Context, t *Task, work func(*shard.Dataset) error) (err error) {
	in, ok := t.Input("data")
	if !ok {
		return Invalid(fmt.Errorf("kind %s needs the input data", t.Kind))
	}
	d, err := shard.Open(ctx, t.Store, in, t.Scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return work(d)
}

// likeDataset writes a data set with the name, card and shards of another.
func likeDataset(d *shard.Dataset) datasetOptions {
	o := shard.Options{Name: d.Meta.Name, Card: d.Meta.Card}
	for _, f := range d.Shards() {
		o.Records = max(o.Records, f.Records)
	}
	return datasetOptions{Options: o, Total: int64(d.Len())}
}
