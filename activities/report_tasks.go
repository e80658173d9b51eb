package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/training/score"
)

// tasksSection shows what evaluations on problems, choices and comparisons have beside their metrics: slices, ways, rewards, the baseline, searches.
func tasksSection(ctx context.Context, t *Task, p reportParams) (*report.Section, error) {
	s := &report.Section{Title: "Problems", Text: "Of the first seed. Accuracies in per cent, with 95 % bootstrap intervals over problems. A comparison with a baseline is paired, problem by problem; its p is that of a sign-flip permutation test."}
	for i, a := range t.Inputs["evaluations"] {
		e, err := loadEvaluation(ctx, t.Store, a)
		if err != nil {
			return nil, err
		}
		if e.Tasks != nil && p.first(i) {
			s.Blocks = append(s.Blocks, e.Tasks.blocks(p.Labels[i])...)
		}
	}
	if len(s.Blocks) == 0 {
		return nil, nil
	}
	return s, nil
}

// blocks are the tables of an evaluation.
func (k *TaskTables) blocks(label string) []report.Block {
	var blocks []report.Block
	if k.Baseline != nil || k.Overlap != nil {
		blocks = append(blocks, k.notes(label))
	}
	for _, t := range []struct {
		name, column string
		rows         []score.Slice
		decimals     int
	}{{"by slice", "right, %", k.Slices, 1}, {"rewards", "mean", k.Rewards, 3}} {
		if len(t.rows) == 0 || len(t.rows) == 1 && t.rows[0].Name == "all" {
			continue
		}
		table := report.Table{Caption: label + ": " + t.name, Columns: []report.Column{{Name: ""}, {Name: t.column, Decimals: t.decimals}, {Name: "problems"}}}
		for _, r := range t.rows {
			table.Rows = append(table.Rows, report.Row{Name: r.Name, Cells: []report.Cell{report.Between(r.Mean, r.Low, r.High), report.Number(float64(r.N))}})
		}
		blocks = append(blocks, table)
	}
	if len(k.Strategies) > 0 {
		table := report.Table{Caption: label + ": ways", Columns: []report.Column{{Name: "Way"}, {Name: "share", Unit: "%", Decimals: 1}, {Name: "right", Unit: "%", Decimals: 1}, {Name: "completions"}}}
		for _, r := range k.Strategies {
			table.Rows = append(table.Rows, report.Row{Name: r.Name, Cells: []report.Cell{report.Number(r.Share), report.Number(r.Right), report.Number(float64(r.N))}})
		}
		blocks = append(blocks, table)
	}
	if c := k.Calibration; c != nil {
		table := report.Table{Caption: fmt.Sprintf("%s: calibration, expected error %.3f", label, c.Error), Columns: []report.Column{{Name: "Confidence"}, {Name: "mean", Decimals: 3}, {Name: "right", Decimals: 3}, {Name: "rows"}}}
		for _, b := range c.Bins {
			table.Rows = append(table.Rows, report.Row{Name: fmt.Sprintf("%.2f to %.2f", b.Low, b.High), Cells: []report.Cell{report.Number(b.Confidence), report.Number(b.Accuracy), report.Number(float64(b.N))}})
		}
		blocks = append(blocks, table)
	}
	if len(k.Search) > 0 {
		blocks = append(blocks, searchTable(label, k.Search), searchChart(label, k.Search))
	}
	return blocks
}

// notes says how the model stands against its baseline, and what of the problems its training has seen.
func (k *TaskTables) notes(label string) report.Table {
	t := report.Table{Caption: label + ": notes", Columns: []report.Column{{Name: "Note"}, {Name: ""}}}
	add := func(name, format string, args ...any) {
		t.Rows = append(t.Rows, report.Row{Name: name, Cells: []report.Cell{report.Text(fmt.Sprintf(format, args...))}})
	}
	if b := k.Baseline; b != nil {
		add("against "+b.Evaluation.Short(), "%+.1f points of %s [%.1f, %.1f], p = %.4f, on %d problems: better on %d, equal on %d",
			b.Gap.Mean, b.Metric, b.Gap.Low, b.Gap.High, b.P, b.Problems, b.Ahead, b.Equal)
	}
	if o := k.Overlap; o != nil {
		clean := "no other"
		if o.Clean != nil {
			clean = fmt.Sprintf("%.1f %% of the others are solved [%.1f, %.1f]", o.Clean.Mean, o.Clean.Low, o.Clean.High)
		}
		add("seen in training", "%d problems, and %d that share %d words in a row with it, %.1f %% in all: %s", o.Same, o.Near, o.Words, o.Share, clean)
	}
	return t
}

func searchTable(label string, rows []SearchRow) report.Table {
	t := report.Table{Caption: label + ": searches", Columns: []report.Column{{Name: "Search"}, {Name: "n"}, {Name: "right", Unit: "%", Decimals: 1}, {Name: "tokens for a problem", Decimals: 1}}}
	for _, r := range rows {
		t.Rows = append(t.Rows, report.Row{Name: r.Method, Cells: []report.Cell{report.Number(float64(r.N)), report.Between(r.Accuracy.Mean, r.Accuracy.Low, r.Accuracy.High), report.Number(r.Tokens)}})
	}
	return t
}

// searchChart draws accuracy over what it costs.
func searchChart(label string, rows []SearchRow) report.Lines {
	l := report.Lines{Title: label + ": accuracy over tokens", X: "tokens for a problem", Y: "right, %"}
	at := map[string]int{}
	for _, r := range rows {
		k, known := at[r.Method]
		if !known {
			if len(l.Series) == report.MaxSeries {
				continue
			}
			k = len(l.Series)
			at[r.Method] = k
			l.Series = append(l.Series, report.Series{Name: r.Method})
		}
		l.Series[k].X, l.Series[k].Y = append(l.Series[k].X, r.Tokens), append(l.Series[k].Y, r.Accuracy.Mean)
	}
	return l
}

// shownAnswers are how many answers of an evaluation a report shows.
const shownAnswers = 16

// answerTable shows completions with what became of them, where an evaluation is of problems.
func answerTable(label string, data []byte) (*report.Table, error) {
	t := &report.Table{Caption: label, Columns: []report.Column{{Name: "Prompt"}, {Name: "Completion"}, {Name: "Verdict"}, {Name: "Reward", Decimals: 2}}}
	for line := range bytes.Lines(data) {
		var w struct {
			writtenAnswer
			Baseline *string  `json:"baseline"`
			Result   *float64 `json:"result"`
		}
		if err := json.Unmarshal(line, &w); err != nil {
			return nil, err
		}
		if w.ID == "" {
			return nil, nil // plain samples
		}
		if !w.Ended {
			w.Text += " ..."
		}
		verdict := strings.Join(nonEmpty(map[bool]string{true: "right", false: "wrong"}[w.Right], w.Fault, w.Method), "; ")
		if w.Result != nil {
			verdict = map[float64]string{1: "won", 0: "lost"}[*w.Result]
			if verdict == "" {
				verdict = "tie"
			}
			verdict += " against: " + *w.Baseline
		}
		t.Rows = append(t.Rows, report.Row{Name: w.Prompt, Note: w.Wanted, Cells: []report.Cell{report.Text(w.Text), report.Text(verdict), report.Number(w.Reward)}})
		if len(t.Rows) == shownAnswers {
			break
		}
	}
	return t, nil
}

func nonEmpty(words ...string) (out []string) {
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// samplesOf reads samples.jsonl of an evaluation; nil where it has none.
func samplesOf(ctx context.Context, t *Task, a artifact.Artifact) ([]byte, error) {
	m, err := artifact.LoadManifest(ctx, t.Store, a)
	if err != nil {
		return nil, err
	}
	f, err := m.Find(samplesFile)
	if err != nil || f.Size == 0 {
		return nil, nil //nolint:nilerr // an evaluation of another kind
	}
	return artifact.ReadAll(ctx, t.Store, f.Digest, artifact.MaxJSON)
}
