package activities

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// recorded puts the record of a run into a store and returns the section that
// the report has of it, and its page.
func recorded(t *testing.T, plan *dag.Plan, stages []stage.StageRecord) (*report.Section, string) {
	t.Helper()
	raw, err := json.Marshal(plan)
	require.NoError(t, err)
	store := mem.New()
	rec := stage.RunRecord{Pipeline: plan.Name, Run: "nightly-2031-03-12T02:00:00Z", Started: time.Unix(1000, 0), Plan: raw, Stages: stages}
	require.NoError(t, artifact.WriteJSON(t.Context(), store, artifact.RunName(rec.Pipeline, RunFolder(rec.Run), "run.json"), rec))
	s, err := recordSection(t.Context(), &Task{Store: store, Request: stage.Request{Pipeline: rec.Pipeline, Run: rec.Run}}, reportParams{})
	require.NoError(t, err)
	var html bytes.Buffer
	require.NoError(t, report.Render(&html, &report.Report{Sections: []report.Section{*s}}))
	return s, html.String()
}

func startsAt(outcome string, seconds ...int64) (starts []stage.Start) {
	for i := 0; i < len(seconds); i += 2 {
		s := stage.Start{Began: time.Unix(1000+seconds[i], 0), Outcome: "failed"}
		if i+1 < len(seconds) {
			ended := time.Unix(1000+seconds[i+1], 0)
			s.Ended = &ended
		}
		if i+2 >= len(seconds) {
			s.Outcome = outcome
		}
		starts = append(starts, s)
	}
	return starts
}

func TestTheReportTellsWhenEachStageWasAtWork(t *testing.T) {
	spec, err := dag.Parse([]byte(`
name: p
stages:
  - {id: data, kind: noop, params: {label: data}}
  - {id: train, kind: noop, params: {label: train}, needs: [data]}
  - {id: again, kind: noop, params: {label: again}, needs: [data]}
  - {id: broken, kind: noop, params: {label: broken}, needs: [data]}
  - {id: skipped, kind: noop, params: {label: skipped}, needs: [data]}
  - {id: about, kind: noop, params: {label: about}, needs: [train]}
`))
	require.NoError(t, err)
	plan, err := dag.NewPlan(spec, NewCatalog(Noop()))
	require.NoError(t, err)
	s, page := recorded(t, plan, []stage.StageRecord{
		{ID: "data", State: "succeeded", Cached: true, Starts: startsAt("succeeded", 0, 0)},
		{ID: "train", State: "succeeded", Seconds: 24, Starts: startsAt("succeeded", 1, 70)},
		{ID: "again", State: "succeeded", Seconds: 3, Starts: startsAt("succeeded", 1, 5, 6, 10)},
		{ID: "broken", State: "failed", Starts: startsAt("failed", 1, 4)},
		{ID: "skipped", State: "skipped"},
		{ID: "about", State: "running", Starts: startsAt("", 70)},
	})
	require.Equal(t, report.Timeline{Title: "When each stage was at work", Spans: []report.Span{
		{Name: "broken", Start: 1, End: 4, Note: "failed", Tone: report.Bad},
		{Name: "again", Start: 7, End: 10, Note: "2 starts", Tone: report.Good},
		{Name: "train", Start: 46, End: 70, Tone: report.Good},
	}}, s.Blocks[1], "the wait before the work is no part of a bar; a reused stage and the report itself have none")
	notes := map[string]string{}
	for _, n := range s.Blocks[0].(report.Lineage).Nodes {
		notes[n.ID] = n.Note
	}
	require.Equal(t, map[string]string{
		"data": "reused, noop", "train": "24 s, noop", "again": "3.0 s, noop", "broken": "failed, noop", "skipped": "skipped, noop", "about": "running, noop",
	}, notes)
	require.Contains(t, page, "train: 24 s")
}

func TestTheReportOfALargeRunSumsTimesUpByKind(t *testing.T) {
	plan := &dag.Plan{Name: "p"}
	var stages []stage.StageRecord
	for i := range 100 {
		id := fmt.Sprintf("s%d", i)
		plan.Nodes = append(plan.Nodes, dag.Node{ID: id, Kind: "noop", Params: json.RawMessage(`{}`)})
		stages = append(stages, stage.StageRecord{ID: id, Kind: []string{"quick", "slow"}[i%2], State: "succeeded", Seconds: float64(1 + i%2*i), Cached: i < 10})
	}
	s, page := recorded(t, plan, stages)
	table, ok := s.Blocks[0].(report.Table)
	require.True(t, ok, "a drawing of 100 stages cannot be read")
	require.Equal(t, "slow", table.Rows[0].Name, "what took longest comes first")
	require.Equal(t, []report.Cell{report.Text("50"), report.Text("5"), report.Number(2520), report.Text("s99, 100 s")}, table.Rows[0].Cells)
	require.Contains(t, page, "Time by kind of stage")
}
