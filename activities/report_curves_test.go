package activities

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

func TestManyCurvesAreSpreadOverCharts(t *testing.T) {
	task := &Task{Store: mem.New(), Request: stage.Request{Pipeline: "p", Run: "run"}}
	p := reportParams{}
	for i := range 19 {
		p.Curves = append(p.Curves, fmt.Sprintf("train_%d", i))
		text := "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":1}\n"
		name := artifact.RunName("p", "run", p.Curves[i]+"/metrics.jsonl")
		require.NoError(t, task.Store.Write(t.Context(), name, strings.NewReader(text), int64(len(text))))
	}
	s, err := curveSection(t.Context(), task, p)
	require.NoError(t, err)
	require.Len(t, s.Blocks, 3)
	var page bytes.Buffer
	require.NoError(t, report.Render(&page, &report.Report{Sections: []report.Section{*s}}))
	for _, id := range p.Curves {
		require.Contains(t, page.String(), id)
	}
}

// TestAReusedResultHasTheCurvesOfTheRunThatComputedIt draws a stage that this run found, of another name in the run that trained it.
func TestAReusedResultHasTheCurvesOfTheRunThatComputedIt(t *testing.T) {
	store := mem.New()
	task := &Task{Store: store, Request: stage.Request{Pipeline: "p", Run: "second"}}
	write := func(name, text string) {
		require.NoError(t, store.Write(t.Context(), name, strings.NewReader(text), int64(len(text))))
	}
	write(artifact.RunName("p", "first", "train/metrics.jsonl"), "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":1}\n")
	require.NoError(t, artifact.WriteJSON(t.Context(), store, artifact.CommitName("k1"), Commit{Pipeline: "p", Run: "first", Stage: "train"}))
	require.NoError(t, artifact.WriteJSON(t.Context(), store, artifact.CommitName("k2"), Commit{Pipeline: "p", Run: "deleted", Stage: "train"}))
	require.NoError(t, artifact.WriteJSON(t.Context(), store, artifact.RunName("p", "second", "run.json"), stage.RunRecord{
		Stages: []stage.StageRecord{{ID: "sft", Key: "k1", Cached: true}, {ID: "gone", Key: "k2", Cached: true}, {ID: "skipped"}},
	}))
	s, err := curveSection(t.Context(), task, reportParams{Curves: []string{"sft", "gone", "skipped", "unheard"}})
	require.NoError(t, err)
	require.Equal(t, "Reused results have the curves of the runs that computed them: sft is train of p, run first.", s.Text)
	require.Len(t, s.Blocks, 1)
	require.Equal(t, []report.Series{{Name: "sft", X: []float64{1, 2}, Y: []float64{2, 1}}}, s.Blocks[0].(report.Lines).Series)
}
