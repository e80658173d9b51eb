package activities

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type reportParams struct {
	evaluationRows
	Title         string   `json:"title" doc:"Title of the report."`
	Metric        string   `json:"metric" doc:"Metric of the chart of arms."`
	DatasetLabels []string `json:"dataset_labels" doc:"What each data set shows; in the order of the input."`
	Curves        []string `json:"curves" doc:"Stages of the run whose training curves are drawn."`
	Joined        []series `json:"joined,omitempty" doc:"Stages that go on from each other, as one curve each: {name, stages}."`
	Details       bool     `json:"details" doc:"Draws learning rate, gradient norm and speed of these stages too."`
	Images        int      `json:"images" doc:"Images shown of each data set." min:"0" max:"200"`
}

// series are stages that train one model, one after the other.
type series struct {
	Name   string   `json:"name" doc:"Name of the curve."`
	Stages []string `json:"stages" doc:"Stages, the earliest first; their steps go on counting."`
}

// reportKind renders what a run found as one HTML file and puts it into the run's
// folder as report.html.
func reportKind() Kind {
	return define(stage.Descriptor{
		Name: "report", Version: 2, Queue: stage.CPU, Record: true,
		Summary: "Write the report of a run",
		Inputs: []stage.Port{
			{Name: "evaluations", Type: artifact.TypeEvaluation, Many: true, Optional: true, Doc: "Evaluations, a row of the table each."},
			{Name: "comparison", Type: artifact.TypeEvaluation, Optional: true, Doc: "Comparison of the arms, for the verdict."},
			{Name: "scaling", Type: artifact.TypeEvaluation, Optional: true, Doc: "Fitted curve of loss over size."},
			{Name: "datasets", Type: artifact.TypeDataset, Many: true, Optional: true, Doc: "Data sets whose images are shown."},
		},
		Outputs: []stage.Port{{Name: "report", Type: artifact.TypeReport, Doc: "report.html."}},
	}, reportParams{
		evaluationRows: noRows(),
		Title:          "Run", Metric: "r1", DatasetLabels: []string{}, Curves: []string{}, Images: 24,
	}, runReport)
}

const reportFile = "report.html"

// evaluated is one row: an evaluation and what it is about.
type evaluated struct {
	row
	Evaluation
}

func runReport(ctx context.Context, t *Task, p reportParams) error {
	if err := p.check(len(t.Inputs["evaluations"])); err != nil {
		return err
	}
	var rows []evaluated
	for i, a := range t.Inputs["evaluations"] {
		e, err := loadEvaluation(ctx, t.Store, a)
		if err != nil {
			return err
		}
		rows = append(rows, evaluated{row{p.Labels[i], p.Steps[i], p.Seeds[i]}, e})
	}
	page := &report.Report{Title: p.Title, Subtitle: fmt.Sprintf("Pipeline %s, run %s", t.Pipeline, t.Run)}
	gaps, err := loadGaps(ctx, t)
	if err != nil {
		return err
	}
	page.Verdict = verdict(gaps)
	page.Sections = append(page.Sections, resultSection(rows, p.Metric))
	for _, add := range []func(context.Context, *Task, reportParams) (*report.Section, error){tasksSection, samplesSection, scalingSection, imageSection, curveSection, recordSection} {
		s, err := add(ctx, t, p)
		if err != nil {
			return err
		}
		if s != nil {
			page.Sections = append(page.Sections, *s)
		}
	}
	var html bytes.Buffer
	if err := report.Render(&html, page); err != nil {
		return err
	}
	name := artifact.RunName(t.Pipeline, RunFolder(t.Run), reportFile)
	if err := t.Store.Write(ctx, name, bytes.NewReader(html.Bytes()), int64(html.Len())); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	ref, err := artifact.PutBytes(ctx, t.Store, html.Bytes())
	if err != nil {
		return err
	}
	out, err := artifact.PutManifest(ctx, t.Store, &artifact.Manifest{Type: artifact.TypeReport, Files: []artifact.File{{Path: reportFile, Ref: ref}}})
	if err != nil {
		return err
	}
	t.Output("report", out)
	return nil
}

func loadGaps(ctx context.Context, t *Task) ([]Gap, error) {
	a, ok := t.Input("comparison")
	if !ok {
		return nil, nil
	}
	var gaps []Gap
	return gaps, readJSONFile(ctx, t.Store, a, jsonFile{comparisonFile, &gaps})
}

// verdict says in a sentence what the comparison of most steps found.
func verdict(gaps []Gap) *report.Verdict {
	if len(gaps) == 0 {
		return nil
	}
	last := gaps[0].Steps
	for _, g := range gaps {
		last = max(last, g.Steps)
	}
	v := &report.Verdict{}
	decided, ahead := 0, 0
	for _, g := range gaps {
		r := g.Result
		certainty := "of one seed"
		if n := len(r.Gaps); n > 1 {
			certainty = fmt.Sprintf("[%.3g, %.3g], ahead in %d of %d seeds", r.Gap.Low, r.Gap.High, r.Positive, n)
		}
		v.Why = append(v.Why, fmt.Sprintf("%s over %s%s: %+.3g points of %s %s: %s (margin %g)",
			g.Method, g.Baseline, atSteps(g.Steps), r.Gap.Mean, metricName(g.Metric), certainty, r.Verdict, r.Rule.Margin))
		if g.Steps == last {
			decided++
			if r.Verdict == score.Better {
				ahead++
			}
		}
	}
	v.Tone, v.Text = report.Good, fmt.Sprintf("Ahead by the margin in all %d comparisons%s.", decided, atSteps(last))
	if ahead < decided {
		v.Tone, v.Text = report.Warn, fmt.Sprintf("Ahead by the margin in %d of %d comparisons%s.", ahead, decided, atSteps(last))
	}
	return v
}

// metricName is how people call a metric.
func metricName(metric string) string {
	for _, c := range metricColumns {
		if c.metric == metric {
			return c.name
		}
	}
	return metric
}

// atSteps says at which length of training arms are compared; 0: at their own.
func atSteps(steps int64) string {
	if steps == 0 {
		return ""
	}
	return fmt.Sprintf(" at %d steps", steps)
}

// metricColumns are the columns of the results, where a row has them.
var metricColumns = []struct {
	metric, name, unit string
	decimals           int
}{
	{"bits_per_byte", "bits per byte", "", 3},
	{"perplexity", "perplexity", "", 2},
	{"parameters", "parameters", "", 0},
	{"pass_1", "pass@1", "%", 1},
	{"pass_4", "pass@4", "%", 1},
	{"pass_8", "pass@8", "%", 1},
	{"pass_16", "pass@16", "%", 1},
	{"maj_4", "maj@4", "%", 1},
	{"maj_8", "maj@8", "%", 1},
	{"maj_16", "maj@16", "%", 1},
	{"exact_match", "exact match", "%", 1},
	{"choice", "choices", "%", 1},
	{"choice_per_byte", "choices, by byte", "%", 1},
	{"win_rate", "wins", "%", 1},
	{"reward", "reward", "", 3},
	{"length", "tokens of a text", "", 1},
	{"length_wrong", "of a wrong one", "", 1},
	{"r1", "recall@1", "%", 1},
	{"r5", "recall@5", "%", 1},
	{"r10", "recall@10", "%", 1},
	{"itm_r1", "recall@1 reranked", "%", 1},
	{"zero_shot", "zero-shot", "%", 1},
	{"factual", "captions wholly true", "%", 1},
	{"cider_d", "CIDEr-D", "", 2},
	{"bleu_4", "BLEU-4", "%", 1},
}

// resultSection is the table of arms, with the mean over seeds, and their chart.
func resultSection(rows []evaluated, metric string) report.Section {
	s := report.Section{Title: "Results", Text: "Means over paired seeds, measured on data that no model was trained on. Intervals are 95 % bootstrap intervals: over seeds where there are several, over pairs or batches of text otherwise."}
	var arms []row // without seed
	for _, r := range rows {
		arms = appendNew(arms, row{r.label, r.steps, 0})
	}
	table := report.Table{Columns: []report.Column{{Name: "Model"}}}
	timed := slices.ContainsFunc(arms, func(a row) bool { return a.steps > 0 })
	if timed {
		table.Columns = append(table.Columns, report.Column{Name: "Steps"})
	}
	var used []int
	for k, c := range metricColumns {
		if anyHas(rows, c.metric) {
			used = append(used, k)
			table.Columns = append(table.Columns, report.Column{Name: c.name, Unit: c.unit, Best: bestOf(c.metric), Decimals: c.decimals})
		}
	}
	chart := map[int64]*report.Arms{}
	var order []int64
	for _, arm := range arms {
		line := report.Row{Name: arm.label}
		if timed {
			line.Cells = append(line.Cells, report.Text(stepsCell(arm.steps)))
		}
		for _, k := range used {
			line.Cells = append(line.Cells, cell(overSeeds(rows, arm, metricColumns[k].metric)))
		}
		table.Rows = append(table.Rows, line)
		m, runs, ok := overSeeds(rows, arm, metric)
		if !ok {
			continue
		}
		if chart[arm.steps] == nil {
			order = append(order, arm.steps)
			chart[arm.steps] = &report.Arms{Title: metricName(metric) + atSteps(arm.steps), X: axisOf(metric), Decimals: 1, FromZero: true}
			if lowerIsBetter(metric) {
				chart[arm.steps].Decimals = 3
			}
		}
		chart[arm.steps].Arms = append(chart[arm.steps].Arms, report.Arm{Name: arm.label, Mean: m.Mean, Low: m.Low, High: m.High, Runs: runs})
	}
	s.Blocks = append(s.Blocks, table)
	for _, steps := range order {
		if len(chart[steps].Arms) > 1 {
			s.Blocks = append(s.Blocks, *chart[steps])
		}
	}
	return s
}

// bestOf is the direction in which a metric's best value lies.
func bestOf(metric string) report.Best {
	switch {
	case metric == "parameters":
		return report.NoBest
	case lowerIsBetter(metric):
		return report.Lowest
	}
	return report.Highest
}

// axisOf names the axis of a metric with its unit.
func axisOf(metric string) string {
	for _, c := range metricColumns {
		switch {
		case c.metric != metric:
		case c.unit == "":
			return c.name
		default:
			return c.name + ", " + c.unit
		}
	}
	return metric + ", %"
}

// stepsCell is empty where a model had a budget of time.
func stepsCell(steps int64) string {
	if steps == 0 {
		return ""
	}
	return fmt.Sprint(steps)
}

func anyHas(rows []evaluated, metric string) bool {
	for _, r := range rows {
		if _, ok := r.Metrics[metric]; ok {
			return true
		}
	}
	return false
}

// overSeeds is the mean of a metric over the seeds of an arm, and its values.
func overSeeds(rows []evaluated, arm row, metric string) (m score.Interval, runs []float64, ok bool) {
	var single score.Interval
	for _, r := range rows {
		if v, has := r.Metrics[metric]; has && r.label == arm.label && r.steps == arm.steps {
			single, runs = v, append(runs, v.Mean)
		}
	}
	switch len(runs) {
	case 0:
		return m, nil, false
	case 1:
		return single, runs, true
	}
	return score.Bootstrap{Seed: 1}.Mean(runs), runs, true
}

func cell(m score.Interval, _ []float64, ok bool) report.Cell {
	if !ok {
		return report.Text("")
	}
	return report.Between(m.Mean, m.Low, m.High)
}
