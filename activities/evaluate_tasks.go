package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type evaluateTasksParams struct {
	sampling
	deviceParams
	K        []int         `json:"k" doc:"Numbers of tries at which pass@k and maj@k are given; at most samples." min:"1"`
	Greedy   bool          `json:"greedy" doc:"Adds exact_match, of the likeliest completion, to what is measured of samples."`
	Rewards  []reward.Term `json:"rewards" doc:"Rewards whose means are shown; the total is reward."`
	Pictures string        `json:"pictures" doc:"What problems show: own; other, the picture of another problem, or blank, a grey one, which tell how far the texts alone get a model." enum:"own,other,blank"`
	Problems int           `json:"problems" doc:"Most problems that are measured; 0 measures all." min:"0"`
	Show     int           `json:"show" doc:"Completions that are kept to be read." min:"0" max:"100000"`
}

// Validate reports what no single field shows.
func (p evaluateTasksParams) Validate() error {
	faults := p.faults()
	if slices.ContainsFunc(p.K, func(k int) bool { return k > p.Samples }) {
		faults = append(faults, fmt.Errorf("k has %d and samples is %d: pass@k needs at least k samples", slices.Max(p.K), p.Samples))
	}
	_, err := reward.Open(p.Rewards)
	return errors.Join(append(faults, err)...)
}

// evaluateTasks measures how many problems a model solves.
func evaluateTasks() Kind {
	return define(stage.Descriptor{
		Name: "evaluate_tasks", Version: 2, Queue: stage.CPU,
		Headline: []string{"pass_1", "reward", "gain", "length"},
		Summary:  "Measure how many problems a model solves: pass@k, maj@k, rewards, lengths",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What is measured: an lm or vlm model."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Problems that it was not trained on."},
			{Name: "baseline", Type: artifact.TypeEvaluation, Optional: true, Doc: "Evaluation of another model on the same problems, for a paired comparison."},
			{Name: "training", Type: artifact.TypeExamples, Many: true, Optional: true, Doc: "What the model was trained on, for a note on what overlaps."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, problems.jsonl, samples.jsonl."}},
	}, evaluateTasksParams{
		sampling: sampling{Samples: 4, Temperature: 1, MaxTokens: 256, Stop: []string{}, Batch: 64}, K: []int{1, 4},
		Rewards: []reward.Term{{Reward: "accuracy", Weight: 1}, {Reward: "format", Weight: 0.1}}, Pictures: ownPictures, Show: 200,
	}, runEvaluateTasks)
}

func runEvaluateTasks(ctx context.Context, t *Task, p evaluateTasksParams) (err error) {
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	written, err := resumeSampling(ctx, t)
	if err != nil {
		return err
	}
	s, err := newSampler(ctx, t, samplerOptions{p.sampling, dev, "model", written})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	source, _ := t.Input("model")
	data, _ := t.Input("data")
	prompts, err := s.prompts(onlyProblems(example.All(ctx, t.Store, data)), p.Problems)
	if err != nil {
		return err
	}
	if err := s.show(p.Pictures, prompts); err != nil {
		return err
	}
	e := &taskEvaluation{task: t, params: p, found: map[string]score.Interval{}, tables: TaskTables{Samples: p.Samples}}
	if e.groups, err = e.sampled(ctx, s, "samples", prompts); err != nil {
		return err
	}
	if p.Greedy {
		s.params.Samples, s.params.Temperature, s.params.TopP = 1, 0, 0
		if e.greedy, err = e.sampled(ctx, s, "greedy", prompts); err != nil {
			return err
		}
	}
	for _, measure := range []func(context.Context) error{e.tries, e.rewards, e.lengths, e.strategies, e.slices, e.paired, e.overlap} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return e.publish(ctx, Evaluation{Metrics: e.found, Problems: len(e.groups), Tasks: &e.tables, Model: source.Digest, Data: data.Digest})
}

// onlyProblems ends a stream with an error at a row that has no problem.
func onlyProblems(rows example.Stream) example.Stream {
	return func(yield func(*example.Example, error) bool) {
		for row, err := range rows {
			if err == nil && row.Problem == nil {
				err = Invalid(fmt.Errorf("row %s has no problem: what has no checkable answer is measured by evaluate_choices, evaluate_text or win_rate", row.ID))
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// taskEvaluation is one execution.
type taskEvaluation struct {
	task   *Task
	params evaluateTasksParams
	groups []group
	greedy []group
	found  map[string]score.Interval
	tables TaskTables
}

// TaskTables are the tables of an evaluation on problems, beside its metrics.
type TaskTables struct {
	Samples    int           `json:"samples,omitempty"`    // of each problem
	Slices     []score.Slice `json:"slices,omitempty"`     // pass@1, in per cent, of each slice
	Strategies []StrategyRow `json:"strategies,omitempty"` // where the task knows them
	Rewards    []score.Slice `json:"rewards,omitempty"`    // mean of each part
	Baseline   *BaselineNote `json:"baseline,omitempty"`
	Overlap    *OverlapNote  `json:"overlap,omitempty"`
	Search     []SearchRow   `json:"search,omitempty"` // of the kind search
	// Calibration is of choices: whether the model is right as often as it believes.
	Calibration *score.Calibration `json:"calibration,omitempty"`
	Counts      map[string]int     `json:"counts,omitempty"` // what the rewards counted
}

// StrategyRow is a way in which completions go.
type StrategyRow struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"` // of the completions, in per cent
	Right float64 `json:"right"` // of those that go this way, in per cent
	N     int     `json:"n"`
}

// BaselineNote compares with another model, problem by problem.
type BaselineNote struct {
	Evaluation artifact.Digest `json:"evaluation"`
	Metric     string          `json:"metric"`
	score.Paired
	Problems int `json:"problems"` // that both were measured on
}

func (e *taskEvaluation) sampled(ctx context.Context, s *sampler, pass string, prompts []prompted) (groups []group, err error) {
	written, err := s.write(ctx, pass, prompts)
	if err != nil {
		return nil, err
	}
	judges, err := reward.Open(e.params.Rewards)
	if err != nil {
		return nil, Invalid(err)
	}
	defer func() { err = errors.Join(err, judges.Close()) }()
	groups, err = judgeAll(ctx, judges, written)
	if counts := judges.Counts(); len(counts) > 0 && e.tables.Counts == nil {
		e.tables.Counts = counts
	}
	return groups, err
}

func (e *taskEvaluation) bootstrap() score.Bootstrap { return score.Bootstrap{Seed: e.params.Seed} }

// perProblem is the mean over problems of a value, in per cent, with its interval over problems.
func (e *taskEvaluation) perProblem(name string, value func(g group) (float64, error)) error {
	values := make([]float64, len(e.groups))
	for i, g := range e.groups {
		v, err := value(g)
		if err != nil {
			return err
		}
		values[i] = 100 * v
	}
	e.found[name] = e.bootstrap().Mean(values)
	return nil
}
