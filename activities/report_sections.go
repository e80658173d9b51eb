package activities

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"tempera/activities/report"
	"tempera/datagen/sample"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
)

// imageSection shows images of the data sets with their captions and scores.
func imageSection(ctx context.Context, t *Task, p reportParams) (*report.Section, error) {
	sets := t.Inputs["datasets"]
	if len(sets) != len(p.DatasetLabels) {
		return nil, Invalid(fmt.Errorf("dataset_labels has %d entries for %d data sets: give one for each", len(p.DatasetLabels), len(sets)))
	}
	if len(sets) == 0 || p.Images == 0 {
		return nil, nil
	}
	s := &report.Section{Title: "Captions", Text: "What the filter kept and rejected of the web texts and of the synthetic captions, the first of each set. A caption that the ground truth contradicts is struck through; the filter does not know the truth."}
	for i, a := range sets {
		samples, total, err := sampled(ctx, t, a, p.Images)
		if err != nil {
			return nil, err
		}
		g := report.Grid{Title: fmt.Sprintf("%s (%d of %d)", p.DatasetLabels[i], len(samples), total)}
		for _, sm := range samples {
			g.Items = append(g.Items, gridItem(sm))
		}
		s.Blocks = append(s.Blocks, g)
	}
	return s, nil
}

func gridItem(s sample.Sample) report.GridItem {
	item := report.GridItem{Image: s.Image, Badge: "unknown", Tone: report.Neutral}
	right, known := truth.CaptionIsTrue(s)
	label := cmp.Or(s.Facts.Origin, "web")
	item.Captions = append(item.Captions, report.Caption{Label: label, Text: s.Caption, Dropped: known && !right})
	if s.Facts.WebText != "" {
		item.Captions = append(item.Captions, report.Caption{Label: "web text", Text: s.Facts.WebText})
	}
	if known {
		item.Badge, item.Tone = "true", report.Good
		if !right {
			item.Badge, item.Tone = "false", report.Bad
			item.Captions = append(item.Captions, report.Caption{Label: "truth", Text: s.Facts.Truth.Caption})
		}
	}
	for _, name := range sortedKeys(s.Facts.Scores) {
		item.Scores = append(item.Scores, report.Score{Name: name, Value: s.Facts.Scores[name]})
	}
	return item
}

// curveSection draws the losses that stages of this run logged, as many to a
// chart as can be told apart. A stage whose result was reused has logged nothing
// in this run and is left out.
func curveSection(ctx context.Context, t *Task, p reportParams) (*report.Section, error) {
	var curves []report.Series
	for _, id := range p.Curves {
		series, err := lossCurve(ctx, t, id)
		if err != nil {
			return nil, err
		}
		if len(series.X) > 1 {
			curves = append(curves, series)
		}
	}
	if len(curves) == 0 {
		return nil, nil
	}
	s := &report.Section{Title: "Training"}
	charts := (len(curves) + report.MaxSeries - 1) / report.MaxSeries
	for i := range charts { // of equal sizes, so that what belongs together stays so more often
		chart := report.Lines{Title: "Training loss", X: "step", Y: "loss", Series: curves[i*len(curves)/charts : (i+1)*len(curves)/charts]}
		if charts > 1 {
			chart.Title += fmt.Sprintf(" (%d of %d)", i+1, charts)
		}
		s.Blocks = append(s.Blocks, chart)
	}
	return s, nil
}

func lossCurve(ctx context.Context, t *Task, id string) (report.Series, error) {
	series := report.Series{Name: id}
	r, _, err := t.Store.Read(ctx, artifact.RunName(t.Pipeline, RunFolder(t.Run), path.Join(id, metricsName)))
	if errors.Is(err, artifact.ErrNotFound) {
		return series, nil
	}
	if err != nil {
		return series, err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return series, fmt.Errorf("metrics of stage %s: %w", id, err)
	}
	for line := range bytes.Lines(data) {
		var at struct {
			Step float64  `json:"step"`
			Loss *float64 `json:"loss"`
		}
		if json.Unmarshal(line, &at) == nil && at.Loss != nil {
			series.X, series.Y = append(series.X, at.Step), append(series.Y, *at.Loss)
		}
	}
	return series, nil
}
