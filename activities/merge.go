package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/shard"
	"tempera/datagen/transform"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type mergeParams struct {
	Weights   []float64 `json:"weights,omitempty" doc:"How often each input goes in, in their order: 2.5 is twice, and half of it a third time; absent means once each." above:"0" max:"1000"`
	Count     int       `json:"count" doc:"Pairs wanted: the whole is repeated, or cut, to that many; 0 takes it once." min:"0"`
	Seed      uint64    `json:"seed" doc:"Chooses the pairs of a broken repetition." min:"0"`
	Name      string    `json:"name" doc:"Name of the data set's shards."`
	ShardSize int       `json:"shard_records" doc:"Most pairs of a shard." min:"1"`
}

// Validate reports what no tag can say.
func (p mergeParams) Validate() error {
	if err := shard.CheckKey(p.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	return nil
}

// merge makes one data set of several.
func merge() Kind {
	return define(stage.Descriptor{
		Name: "merge", Version: 1, Queue: stage.CPU,
		Summary: "Join data sets, each as often as it weighs",
		Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset, Many: true, Doc: "The data sets, in order."}},
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "All their pairs, with keys that say which input they are from."}},
	}, mergeParams{Name: "merged", ShardSize: 500}, runMerge)
}

func runMerge(ctx context.Context, t *Task, p mergeParams) (err error) {
	inputs := t.Inputs["data"]
	if len(p.Weights) > 0 && len(p.Weights) != len(inputs) {
		return Invalid(fmt.Errorf("weights has %d numbers for %d inputs: give one for each", len(p.Weights), len(inputs)))
	}
	card := shard.Card{Title: p.Name, Description: "Several data sets in one."}
	var parts []transform.Part
	for i, a := range inputs {
		d, openErr := shard.Open(ctx, t.Store, a, t.Scratch)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		part := transform.Part{Stream: d.All(ctx), Records: d.Len()}
		if len(p.Weights) > 0 {
			part.Weight = p.Weights[i]
		}
		parts = append(parts, part)
		card.License = addNew(card.License, d.Meta.Card.License)
		card.Credits = addNew(card.Credits, d.Meta.Card.Credits)
	}
	return writeDataset(ctx, t, transform.Merge(parts, p.Count, p.Seed), datasetOptions{
		Options: shard.Options{Name: p.Name, Records: p.ShardSize, Card: card}, Total: int64(p.Count),
	})
}

// addNew appends the words that list does not have.
func addNew(list, words []string) []string {
	for _, w := range words {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}
