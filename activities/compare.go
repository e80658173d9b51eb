package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training/score"
	"tempera/workflows/stage"
)

// evaluationRows say what each evaluation of an input that takes many is about.
type evaluationRows struct {
	Labels []string `json:"labels" doc:"What each evaluation is of, e.g. the arm; in the order of the input."`
	Steps  []int64  `json:"steps" doc:"Training steps of each; rows are compared at equal steps."`
	Seeds  []uint64 `json:"seeds" doc:"Seed of each; rows of one seed are a pair."`
}

func noRows() evaluationRows {
	return evaluationRows{Labels: []string{}, Steps: []int64{}, Seeds: []uint64{}}
}

func (r evaluationRows) check(n int) error {
	var faults []error
	for _, f := range []struct {
		name string
		n    int
	}{{"labels", len(r.Labels)}, {"steps", len(r.Steps)}, {"seeds", len(r.Seeds)}} {
		if f.n != n {
			faults = append(faults, fmt.Errorf("%s has %d entries for %d evaluations: give one for each", f.name, f.n, n))
		}
	}
	return Invalid(errors.Join(faults...))
}

// first tells whether an evaluation is of the first seed: details are shown of that only.
func (r evaluationRows) first(i int) bool { return r.Seeds[i] == r.Seeds[0] }

type compareParams struct {
	evaluationRows
	Metric string    `json:"metric" doc:"Metric of the evaluations that is compared."`
	Pairs  []contest `json:"pairs" doc:"Which arms are held against which."`
}

// contest is one arm held against another.
type contest struct {
	Method   string  `json:"method" doc:"Label of the arm under test."`
	Baseline string  `json:"baseline" doc:"Label of the arm that it is held against."`
	Margin   float64 `json:"margin" doc:"By how much the method must be ahead." min:"0"`
	Metric   string  `json:"metric,omitempty" doc:"What these two are compared by; absent: the metric of all."`
}

// compare holds one arm against others over paired seeds: the mean gap with its
// interval, in how many pairs it is ahead, and the verdict. Ahead of a metric that
// is one to be small is who has less: gaps are positive there too.
func compare() Kind {
	return define(stage.Descriptor{
		Name: "compare", Version: 3, Queue: stage.CPU,
		Summary: "Compare arms over paired seeds",
		Inputs:  []stage.Port{{Name: "evaluations", Type: artifact.TypeEvaluation, Many: true, Doc: "Evaluations of the arms."}},
		Outputs: []stage.Port{{Name: "comparison", Type: artifact.TypeEvaluation, Doc: "comparison.json, and results.md for people."}},
	}, compareParams{evaluationRows: noRows(), Metric: "r1", Pairs: []contest{}}, runCompare)
}

// The files of a comparison.
const (
	comparisonFile = "comparison.json"
	ResultsFile    = "results.md" // the arms and the gaps as a table
)

// Gap is one comparison of comparison.json.
type Gap struct {
	Method   string           `json:"method"`
	Baseline string           `json:"baseline"`
	Steps    int64            `json:"steps"`
	Metric   string           `json:"metric"`
	Result   score.Comparison `json:"result"`
}

// row is what identifies an evaluation.
type row struct {
	label string
	steps int64
	seed  uint64
}

// measures are the values of a metric by evaluation.
type measures map[row]float64

func runCompare(ctx context.Context, t *Task, p compareParams) error {
	inputs := t.Inputs["evaluations"]
	if err := p.check(len(inputs)); err != nil {
		return err
	}
	metrics := p.metrics()
	values := map[string]measures{}
	for _, m := range metrics {
		values[m] = measures{}
	}
	var steps []int64
	var seeds []uint64
	for i, a := range inputs {
		e, err := loadEvaluation(ctx, t.Store, a)
		if err != nil {
			return err
		}
		for _, m := range metrics {
			if v, ok := e.Metrics[m]; ok {
				values[m][row{p.Labels[i], p.Steps[i], p.Seeds[i]}] = v.Mean
			}
		}
		steps, seeds = appendNew(steps, p.Steps[i]), appendNew(seeds, p.Seeds[i])
	}
	gaps := []Gap{}
	for _, at := range steps {
		for _, pair := range p.Pairs {
			metric := cmp.Or(pair.Metric, p.Metric)
			arm, base := values[metric].paired(seeds, [2]row{{pair.Method, at, 0}, {pair.Baseline, at, 0}})
			if len(arm) == 0 {
				continue // not trained for so many steps
			}
			if lowerIsBetter(metric) {
				arm, base = base, arm
			}
			c, err := score.Compare(arm, base, score.Rule{Margin: pair.Margin}, score.Bootstrap{Seed: 1})
			if err != nil {
				return Invalid(err)
			}
			gaps = append(gaps, Gap{pair.Method, pair.Baseline, at, metric, c})
			name := fmt.Sprintf("gap_%s_%s_%d", pair.Method, pair.Baseline, at)
			if pair.Metric != "" {
				name += "_" + pair.Metric
			}
			t.Metric(name, c.Gap.Mean)
		}
	}
	data, err := artifact.EncodeJSON(gaps)
	if err != nil {
		return err
	}
	out, err := putTexts(ctx, t.Store, artifact.TypeEvaluation, []text{
		{comparisonFile, data}, {ResultsFile, []byte(resultsTable(p, values, gaps))},
	})
	if err != nil {
		return err
	}
	t.Output("comparison", out)
	return nil
}

// metrics are those that anything is compared by.
func (p compareParams) metrics() []string {
	out := []string{p.Metric}
	for _, pair := range p.Pairs {
		out = appendNew(out, cmp.Or(pair.Metric, p.Metric))
	}
	return out
}

func appendNew[T comparable](list []T, v T) []T {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}

// paired returns the values of two arms for the seeds that have both.
func (m measures) paired(seeds []uint64, arms [2]row) (a, b []float64) {
	for _, s := range seeds {
		x, okX := m[row{arms[0].label, arms[0].steps, s}]
		y, okY := m[row{arms[1].label, arms[1].steps, s}]
		if okX && okY {
			a, b = append(a, x), append(b, y)
		}
	}
	return a, b
}
