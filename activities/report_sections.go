package activities

import (
	"cmp"
	"context"
	"fmt"

	"tempera/activities/report"
	"tempera/datagen/sample"
	"tempera/datagen/truth"
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
	s := &report.Section{Title: "Captions", Text: "The first pictures of each set with their captions. A caption that the ground truth contradicts is struck through; no model and no filter knows the truth."}
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
