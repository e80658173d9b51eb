package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tempera/datagen/task"
	"tempera/training/score"
)

// right is how many tries of a group are right.
func (g group) right() int {
	n := 0
	for _, x := range g.tries {
		if x.verdict.Right {
			n++
		}
	}
	return n
}

// accuracy is the share of tries that are right: pass@1.
func (g group) accuracy() float64 { return float64(g.right()) / float64(len(g.tries)) }

// majority tells whether the answer that most of the first k tries give is right. A text that was cut off has no voice.
func (g group) majority(k int) bool {
	votes := make([]score.Vote, k)
	for i, x := range g.tries[:k] {
		if x.ended {
			votes[i] = score.Vote{Answer: x.verdict.Answer, Weight: 1}
		}
	}
	winner := score.Majority(votes)
	return slices.ContainsFunc(g.tries[:k], func(x tried) bool { return winner != "" && x.verdict.Answer == winner && x.verdict.Right })
}

func (e *taskEvaluation) tries(context.Context) error {
	for _, k := range append([]int{1}, e.params.K...) {
		err := e.perProblem(fmt.Sprintf("pass_%d", k), func(g group) (float64, error) { return score.PassAtK(len(g.tries), g.right(), k) })
		if err != nil {
			return err
		}
		if k < 2 {
			continue
		}
		if err := e.perProblem(fmt.Sprintf("maj_%d", k), func(g group) (float64, error) { return share(g.majority(k)) / 100, nil }); err != nil {
			return err
		}
	}
	if e.greedy == nil {
		return nil
	}
	hits := make([]float64, len(e.greedy))
	for i, g := range e.greedy {
		hits[i] = 100 * g.accuracy()
	}
	e.found["exact_match"] = e.bootstrap().Mean(hits)
	return nil
}

// rewards are means over completions, resampled by problem.
func (e *taskEvaluation) rewards(context.Context) error {
	mean := func(value func(x tried) float64) score.Interval {
		means := make([]float64, len(e.groups))
		for i, g := range e.groups {
			for _, x := range g.tries {
				means[i] += value(x) / float64(len(g.tries))
			}
		}
		return e.bootstrap().Mean(means)
	}
	e.found["reward"] = mean(func(x tried) float64 { return x.score.Total })
	for _, t := range e.params.Rewards {
		name := cmp.Or(t.Name, t.Reward)
		row := score.Slice{Name: name, Interval: mean(func(x tried) float64 { return x.score.Parts[name] })}
		e.tables.Rewards = append(e.tables.Rewards, row)
		e.found["reward_"+name] = row.Interval
	}
	return nil
}

// lengths are means over completions in tokens, of all, of the right and of the wrong ones.
func (e *taskEvaluation) lengths(context.Context) error {
	for _, l := range []struct {
		name   string
		counts func(x tried) bool
	}{
		{"length", func(tried) bool { return true }},
		{"length_right", func(x tried) bool { return x.verdict.Right }},
		{"length_wrong", func(x tried) bool { return !x.verdict.Right }},
	} {
		var sums, ns []float64
		for _, g := range e.groups {
			sum, n := 0.0, 0.0
			for _, x := range g.tries {
				if l.counts(x) {
					sum, n = sum+float64(x.tokens), n+1
				}
			}
			if n > 0 {
				sums, ns = append(sums, sum), append(ns, n)
			}
		}
		if len(sums) == 0 {
			continue
		}
		e.found[l.name] = e.bootstrap().Statistic(len(sums), func(pick func(int) int) float64 {
			sum, n := 0.0, 0.0
			for i := range sums {
				sum, n = sum+sums[pick(i)], n+ns[pick(i)]
			}
			return sum / n
		})
	}
	return e.perProblem("cut_off", func(g group) (float64, error) {
		n := 0.0
		for _, x := range g.tries {
			n += share(!x.ended) / 100
		}
		return n / float64(len(g.tries)), nil
	})
}

// strategies count the ways that completions go, where the task knows them.
func (e *taskEvaluation) strategies(context.Context) error {
	rows, all := map[string]*StrategyRow{}, 0
	for _, g := range e.groups {
		kind, err := task.Find(g.row.Problem.Task)
		if err != nil || kind.Strategy == nil {
			continue
		}
		for _, x := range g.tries {
			name := kind.Strategy(g.row.Problem, x.text)
			if rows[name] == nil {
				rows[name] = &StrategyRow{Name: name}
			}
			rows[name].N++
			rows[name].Right += share(x.verdict.Right)
			all++
		}
	}
	for _, name := range sortedKeys(rows) {
		r := rows[name]
		r.Share, r.Right = 100*float64(r.N)/float64(all), r.Right/float64(r.N)
		e.tables.Strategies = append(e.tables.Strategies, *r)
		e.found["strategy_"+name] = exactly(r.Share)
	}
	return nil
}

func (e *taskEvaluation) slices(context.Context) (err error) {
	names, values := make([]string, len(e.groups)), make([]float64, len(e.groups))
	for i, g := range e.groups {
		names[i], values[i] = cmp.Or(g.row.Slice, "all"), 100*g.accuracy()
	}
	e.tables.Slices, err = score.Slices(names, values, e.bootstrap())
	return err
}

// paired holds pass@1 against that of the baseline on the problems that both were measured on.
func (e *taskEvaluation) paired(ctx context.Context) error {
	a, ok := e.task.Input("baseline")
	if !ok {
		return nil
	}
	before := map[string]solvedProblem{}
	err := readLines(ctx, linesOf{e.task.Store, a, problemsFile}, func(p solvedProblem) { before[p.Key] = p })
	if err != nil {
		return err
	}
	var model, baseline []float64
	for _, g := range e.groups {
		if p, known := before[problemKey(g.row)]; known {
			model, baseline = append(model, 100*g.accuracy()), append(baseline, 100*p.Accuracy)
		}
	}
	if len(model) == 0 {
		return Invalid(fmt.Errorf("baseline %s was measured on none of these %d problems: give both the same data", a.Digest.Short(), len(e.groups)))
	}
	compared, err := score.ComparePaired(model, baseline, e.bootstrap())
	if err != nil {
		return err
	}
	e.tables.Baseline = &BaselineNote{Evaluation: a.Digest, Metric: "pass_1", Paired: compared, Problems: len(model)}
	e.found["gain"] = compared.Gap
	e.found["gain_p"] = score.Interval{Mean: compared.P, Low: compared.P, High: compared.P, N: len(model)}
	return nil
}
