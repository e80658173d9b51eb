package activities

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// maxDrawn is how many stages can still be told apart in a drawing.
const maxDrawn = 60

// recordSection tells what was made from what and how long it took, and shows
// the configuration. The run's record has all of it: the workflow brings it up
// to date before a stage of this kind starts.
func recordSection(ctx context.Context, t *Task, _ reportParams) (*report.Section, error) {
	record, err := readRecord(ctx, t)
	if err != nil || record == nil {
		return nil, err
	}
	var plan dag.Plan
	if err := json.Unmarshal(record.Plan, &plan); err != nil {
		return nil, fmt.Errorf("plan of run.json: %w", err)
	}
	s := &report.Section{Title: "Run", Text: "Times are those of the work itself, without the wait for a free worker. A reused result was computed by an earlier run, or by another stage of this one."}
	if len(plan.Nodes) <= maxDrawn {
		s.Blocks = append(s.Blocks, lineageOf(&plan, *record), timelineOf(*record))
	} else {
		s.Blocks = append(s.Blocks, timesByKind(*record))
	}
	var config bytes.Buffer
	if err := json.Indent(&config, record.Plan, "", "  "); err != nil {
		return nil, fmt.Errorf("plan of run.json: %w", err)
	}
	s.Blocks = append(s.Blocks, report.Config{Name: "Resolved plan", Text: config.String()})
	return s, nil
}

// readRecord returns the record of the task's run, nil where there is none.
func readRecord(ctx context.Context, t *Task) (*stage.RunRecord, error) {
	var record stage.RunRecord
	_, err := artifact.ReadJSON(ctx, t.Store, artifact.RunName(t.Pipeline, RunFolder(t.Run), "run.json"), &record)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	return &record, err
}

// lineageOf draws the stages with their times and states.
func lineageOf(plan *dag.Plan, record stage.RunRecord) report.Lineage {
	stages := map[string]stage.StageRecord{}
	for _, s := range record.Stages {
		stages[s.ID] = s
	}
	l := report.Lineage{Title: "What was made from what"}
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		note, tone := standing(stages[n.ID])
		l.Nodes = append(l.Nodes, report.Node{ID: n.ID, Note: note + ", " + n.Kind, Tone: tone, Needs: plan.Dependencies(n)})
	}
	return l
}

// standing is where a stage stands, in a word: its time once it has one.
func standing(s stage.StageRecord) (string, report.Tone) {
	switch dag.State(s.State) {
	case dag.Succeeded:
		if s.Cached {
			return "reused", report.Neutral
		}
		return report.Duration(s.Seconds), report.Good
	case dag.Failed, dag.Cancelled:
		return s.State, report.Bad
	case dag.Skipped:
		return s.State, report.Warn
	case dag.Waiting, dag.Blocked, dag.Approval, dag.Ready, dag.Running:
	}
	return cmp.Or(s.State, string(dag.Waiting)), report.Neutral
}

// timelineOf shows when the stages that were computed were at work, in the order
// in which they began. What a stage waited for its worker lies before its bar.
func timelineOf(record stage.RunRecord) report.Timeline {
	line := report.Timeline{Title: "When each stage was at work"}
	for _, s := range record.Stages {
		if len(s.Starts) == 0 || s.Cached {
			continue
		}
		last := s.Starts[len(s.Starts)-1]
		if last.Ended == nil {
			continue
		}
		began := last.Began
		if work := last.Ended.Add(-time.Duration(s.Seconds * float64(time.Second))); s.Seconds > 0 && work.After(began) {
			began = work
		}
		span := report.Span{Name: s.ID, Start: began.Sub(record.Started).Seconds(), End: last.Ended.Sub(record.Started).Seconds(), Tone: report.Good}
		if n := len(s.Starts); n > 1 {
			span.Note = fmt.Sprintf("%d starts", n)
		}
		if last.Outcome != "succeeded" {
			span.Note, span.Tone = last.Outcome, report.Bad
		}
		line.Spans = append(line.Spans, span)
	}
	slices.SortStableFunc(line.Spans, func(a, b report.Span) int { return cmp.Compare(a.Start, b.Start) })
	return line
}

// timesByKind sums up a run with more stages than a drawing can show.
func timesByKind(record stage.RunRecord) report.Table {
	type sum struct {
		stages, reused int
		seconds        float64
		longest        stage.StageRecord
	}
	sums := map[string]*sum{}
	for _, s := range record.Stages {
		k := sums[s.Kind]
		if k == nil {
			k = &sum{}
			sums[s.Kind] = k
		}
		k.stages++
		if s.Cached {
			k.reused++
			continue
		}
		k.seconds += s.Seconds
		if s.Seconds > k.longest.Seconds {
			k.longest = s
		}
	}
	kinds := sortedKeys(sums)
	slices.SortStableFunc(kinds, func(a, b string) int { return cmp.Compare(sums[b].seconds, sums[a].seconds) })
	table := report.Table{Caption: "Time by kind of stage", Columns: []report.Column{
		{Name: "Kind"}, {Name: "Stages"}, {Name: "Reused"}, {Name: "Time", Unit: "s", Decimals: 1}, {Name: "Longest stage"},
	}}
	for _, kind := range kinds {
		k, longest := sums[kind], ""
		if k.longest.ID != "" {
			longest = fmt.Sprintf("%s, %s", k.longest.ID, report.Duration(k.longest.Seconds))
		}
		table.Rows = append(table.Rows, report.Row{Name: kind, Cells: []report.Cell{
			report.Text(fmt.Sprint(k.stages)), report.Text(fmt.Sprint(k.reused)), report.Number(k.seconds), report.Text(longest),
		}})
	}
	return table
}
