package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"tempera/datagen/picture"
	"tempera/datagen/quarantine"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/source"
	"tempera/datagen/source/npm"
	"tempera/datagen/source/webdataset"
	"tempera/datagen/transform"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type ingestParams struct {
	Source    string         `json:"source" doc:"Where the pairs come from." enum:"scenes,emoji,webdataset"`
	Params    map[string]any `json:"params,omitempty" doc:"Parameters of the source, see docs/data.md; absent means its defaults."`
	Count     int            `json:"count" doc:"Pairs wanted; 0 takes all that there are, and of generated ones 1000." min:"0"`
	Seed      uint64         `json:"seed" doc:"Chooses what is generated." min:"0"`
	Split     string         `json:"split" doc:"Name of the data set's shards; generated splits of different names share no picture's random numbers."`
	Unique    bool           `json:"unique" doc:"Generated only: no two pictures that the same caption describes, as galleries need."`
	ShardSize int            `json:"shard_records" doc:"Most pairs of a shard." min:"1"`
	ShardMiB  int            `json:"shard_mib" doc:"Most MiB of a shard." min:"1" max:"4096"`
	Resize    int            `json:"resize" doc:"Makes every image a square of so many pixels a side, cut from its middle; 0 leaves images as they are." min:"0" max:"4096"`
	MaxBad    string         `json:"max_bad" doc:"Unusable pairs that are left out before the stage fails: a share such as 1%, or a number."`
	MaxPixels int            `json:"max_pixels" doc:"Images with more pixels are left out as decompression bombs." min:"1"`
	MaxSide   int            `json:"max_side" doc:"Images with a longer side are left out." min:"1"`
}

// Validate reports what no tag can say.
func (p ingestParams) Validate() error {
	var faults []error
	if err := shard.CheckKey(p.Split); err != nil {
		faults = append(faults, fmt.Errorf("split: %w", err))
	}
	if _, err := quarantine.ParseBudget(p.MaxBad); err != nil {
		faults = append(faults, fmt.Errorf("max_bad: %w", err))
	}
	if p.Unique && p.Source == webdataset.Name {
		faults = append(faults, errors.New("unique is for generated pictures: use the kind dedup for your own"))
	}
	if kind, err := source.Find(p.Source); err != nil {
		faults = append(faults, err)
	} else if raw, err := p.raw(); err != nil {
		faults = append(faults, err)
	} else if err := kind.Check(raw); err != nil {
		faults = append(faults, fmt.Errorf("source %s: %w", p.Source, err))
	}
	return errors.Join(faults...)
}

func (p ingestParams) raw() (json.RawMessage, error) {
	if p.Params == nil {
		return nil, nil
	}
	return json.Marshal(p.Params)
}

// ingest makes a data set of a source.
func ingest() Kind {
	return define(stage.Descriptor{
		Name: "ingest", Version: 1, Queue: stage.CPU,
		Summary: "Make a data set of generated pictures, emoji, or your own pairs",
		Outputs: []stage.Port{{Name: "dataset", Type: artifact.TypeDataset, Doc: "WebDataset shards with a data set card."}},
	}, ingestParams{
		Source: "scenes", Split: "train", ShardSize: 500, ShardMiB: 128, MaxBad: "1%", MaxPixels: 64 << 20, MaxSide: 16384,
	}, runIngest)
}

func runIngest(ctx context.Context, t *Task, p ingestParams) error {
	kind, err := source.Find(p.Source)
	if err != nil {
		return Invalid(err)
	}
	raw, err := p.raw()
	if err != nil {
		return Invalid(err)
	}
	env := source.Env{Data: t.Data, Store: t.Store, Progress: func(line string) { t.Log.Info(line) }}
	from, err := kind.Open(ctx, env, source.Request{Params: raw, Count: p.Count, Split: p.Split, Unique: p.Unique})
	if errors.Is(err, npm.ErrMissing) {
		return Invalid(err)
	}
	if err != nil {
		return err
	}
	stream := transform.UniqueKeys(from.Samples(ctx, p.Seed))
	limits := picture.Limits{MaxPixels: p.MaxPixels, MaxSide: p.MaxSide}
	if p.Resize > 0 {
		stream = transform.Resize(stream, transform.Resizing{Side: p.Resize, Limits: limits})
	} else {
		stream = transform.CheckImages(stream, limits)
	}
	card := shard.Card{Title: fmt.Sprintf("%s, %s", p.Source, p.Split), Description: kind.Summary, License: kind.License, Credits: kind.Credits}
	return writeDataset(ctx, t, stream, datasetOptions{
		Options: shard.Options{Name: p.Split, Records: p.ShardSize, Bytes: int64(p.ShardMiB) << 20, Card: card},
		MaxBad:  p.MaxBad, Total: int64(p.Count),
	})
}

// datasetOptions say how a stage's data set is written.
type datasetOptions struct {
	shard.Options
	MaxBad string // of the stream's samples; "" means none
	Total  int64  // samples expected, for the progress; 0 is unknown
}

// writeDataset streams samples into the store and makes them the output
// "dataset". Faults go to quarantine, as far as the budget allows.
func writeDataset(ctx context.Context, t *Task, in sample.Stream, o datasetOptions) error {
	budget, err := quarantine.ParseBudget(cmp.Or(o.MaxBad, "0"))
	if err != nil {
		return Invalid(err)
	}
	o.Card.Made = fmt.Sprintf("%s %s", t.Kind, t.Params)
	var tray quarantine.Tray
	w := shard.NewWriter(ctx, t.Store, o.Options)
	defer w.Discard()
	for s, err := range tray.Filter(in) {
		if err != nil {
			return sourceError(err)
		}
		if err := w.Add(s); err != nil {
			return err
		}
		if n := w.Records(); n%64 == 0 {
			t.Progress(Progress{Done: int64(n), Total: o.Total, Unit: "images"})
		}
		select {
		case <-t.Stopping: // what is in the store already is found there the next time
			return ErrStopped
		default:
		}
	}
	for _, item := range tray.Items {
		t.Result.Quarantined = append(t.Result.Quarantined, stage.Quarantine{Item: item.Name, Reason: item.Reason})
	}
	if err := tray.Check(budget); err != nil {
		return Invalid(err)
	}
	if w.Records() == 0 {
		return Invalid(shard.ErrEmpty)
	}
	if tray.Bad > 0 {
		t.Log.Warn("left out unusable items", "count", tray.Bad, "why", tray.Summary())
	}
	a, err := w.Close()
	if err != nil {
		return err
	}
	t.Progress(Progress{Done: int64(w.Records()), Total: int64(w.Records()), Unit: "images"})
	t.Output("dataset", a)
	t.Metric("records", float64(w.Records()))
	t.Metric("quarantined", float64(tray.Bad))
	return nil
}

// sourceError marks what only the user can mend: places that are not there, or
// in which there is nothing.
func sourceError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, webdataset.ErrNothing) {
		return Invalid(err)
	}
	return err
}
