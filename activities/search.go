package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/serving/search"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type searchParams struct {
	deviceParams
	Methods     []string `json:"methods" doc:"Ways to search: best (the best of n by the verifier), likeliest, majority, weighted (a majority weighted by the verifier), beam, mcts." enum:"best,likeliest,majority,weighted,beam,mcts"`
	N           []int    `json:"n" doc:"Sizes of the search: samples of a problem, and what costs as many tokens." min:"1" max:"4096"`
	Verifier    string   `json:"verifier" doc:"Who judges texts: model (the input verifier), oracle (the task's own labels, an upper bound), or none." enum:"model,oracle,none"`
	Reduce      string   `json:"reduce" doc:"What makes a score of those of the steps." enum:"product,least,final"`
	Separator   string   `json:"separator" doc:"What ends a step; empty: step_tokens does."`
	StepTokens  int      `json:"step_tokens" doc:"Tokens of a step, where there is no separator." min:"0"`
	Branch      int      `json:"branch" doc:"Steps that mcts writes at a node." min:"1" max:"256"`
	Bonus       float64  `json:"bonus" doc:"c of PUCT: how much mcts tries what the model finds likely." above:"0"`
	Temperature float64  `json:"temperature" doc:"Of the sampling." above:"0" max:"100"`
	TopP        float64  `json:"top_p" doc:"Nucleus that is sampled from; 0: all tokens." min:"0" max:"1"`
	MaxTokens   int      `json:"max_tokens" doc:"Most tokens of a text, the ending one included." min:"1"`
	Batch       int      `json:"batch" doc:"Texts that are written at a time." min:"1"`
	Problems    int      `json:"problems" doc:"Most problems; 0 takes all." min:"0"`
	Show        int      `json:"show" doc:"Outcomes of each search that are kept to be read." min:"0" max:"100000"`
	Seed        uint64   `json:"seed" doc:"Of the sampling and the resampled intervals."`
}

// Validate reports what no single field shows.
func (p searchParams) Validate() error {
	var faults []error
	if (p.Separator == "") == (p.StepTokens == 0) {
		faults = append(faults, errors.New("a step ends at a separator or after step_tokens: set one of them, and leave the other empty or 0"))
	}
	if p.Verifier == verifierNone {
		for _, m := range p.Methods {
			if needsVerifier(m) {
				faults = append(faults, fmt.Errorf("methods has %s, which needs a verifier: set verifier, or leave it out", m))
			}
		}
	}
	if len(p.N) == 0 || len(p.Methods) == 0 {
		faults = append(faults, errors.New("methods or n is empty: give at least one of each"))
	}
	return errors.Join(faults...)
}

// The verifiers and the methods.
const (
	verifierNone   = "none"
	verifierModel  = "model"
	verifierOracle = "oracle"

	methodBest, methodLikeliest, methodMajority, methodWeighted, methodBeam, methodMCTS = "best", "likeliest", "majority", "weighted", "beam", "mcts"
)

func needsVerifier(method string) bool {
	return method != methodMajority && method != methodLikeliest
}

// searchKind compares ways to spend more tokens on a problem, at equal tokens.
func searchKind() Kind {
	return define(stage.Descriptor{
		Name: "search", Version: 1, Queue: stage.CPU,
		Headline: []string{"best_16", "majority_16", "beam_16", "mcts_16"},
		Summary:  "Compare ways to search for answers at equal tokens: best of n, votes, beam, tree",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Who writes: an lm or vlm model."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Problems that it was not trained on."},
			{Name: "verifier", Type: artifact.TypeModel, Optional: true, Doc: "Who judges texts: a model with a score head, of completions or of steps."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, samples.jsonl."}},
	}, searchParams{
		Methods: []string{methodBest, methodMajority, methodWeighted, methodBeam, methodMCTS}, N: []int{1, 2, 4, 8, 16}, Verifier: verifierOracle,
		Reduce: string(search.Product), Separator: ",", Branch: 4, Bonus: 0.1, Temperature: 1, MaxTokens: 256, Batch: 64, Show: 20,
	}, runSearch)
}

// SearchRow is one search of an evaluation.
type SearchRow struct {
	Method   string         `json:"method"`
	N        int            `json:"n"`
	Accuracy score.Interval `json:"accuracy"` // in per cent of the problems
	Tokens   float64        `json:"tokens"`   // that were written for a problem, mean
}

// searching is one execution.
type searching struct {
	task     *Task
	params   searchParams
	sampler  *sampler
	prompts  []prompted
	searcher *search.Searcher
	found    map[string]score.Interval
	rows     []SearchRow
	shown    jsonLines
}

func runSearch(ctx context.Context, t *Task, p searchParams) (err error) {
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	how := sampling{Samples: slices.Max(p.N), Temperature: p.Temperature, TopP: p.TopP, MaxTokens: p.MaxTokens, Batch: p.Batch, Seed: p.Seed}
	s, err := newSampler(ctx, t, samplerOptions{sampling: how, dev: dev, port: "model"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	data, _ := t.Input("data")
	source, _ := t.Input("model")
	prompts, err := s.prompts(onlyProblems(example.All(ctx, t.Store, data)), p.Problems)
	if err != nil {
		return err
	}
	x := &searching{task: t, params: p, sampler: s, prompts: prompts, found: map[string]score.Interval{}}
	known, err := resume[searchedSoFar](ctx, t)
	if err != nil {
		return err
	}
	progress := &searchProgress{resumed: known, writer: x.writer()}
	switch p.Verifier {
	case verifierOracle:
		progress.verifier = oracle{x}
	case verifierModel:
		judge, err := newModelJudge(ctx, t, judgeOptions{dev, "verifier", p.Separator})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, judge.close()) }()
		progress.verifier = modelVerifier{x, judge}
	}
	x.searcher = &search.Searcher{Problems: len(prompts), Writer: progress, Reduce: search.Reduction(p.Reduce), Seed: p.Seed}
	if progress.verifier != nil {
		x.searcher.Verifier = progress
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	record := Evaluation{Metrics: x.found, Problems: len(prompts), Tasks: &TaskTables{Search: x.rows}, Model: source.Digest, Data: data.Digest}
	return publishEvaluation(ctx, t, record, text{samplesFile, x.shown.b.Bytes()})
}

// writer is the model as a search asks it. Texts may be as long as the longest prompt leaves room for.
func (x *searching) writer() *search.Model {
	c, longest := x.sampler.from.weights.Config.Text.Context, 0
	w := &search.Model{
		Generator: x.sampler.writer, Search: x.sampler.params.search(), Suppress: x.sampler.encoder.suppressed(),
		Cut: search.Cutting{Separator: x.params.Separator, Tokens: x.params.StepTokens}, Decode: x.sampler.encoder.text, Stop: x.sampler.encoder.stop,
	}
	for _, p := range x.prompts {
		w.Prompts = append(w.Prompts, p.parts)
		longest = max(longest, len(p.tokens))
	}
	w.MaxTokens = min(x.params.MaxTokens, c-longest)
	return w
}

// run searches in every way at every size. The samples are drawn once: the first n of them are those of size n, and their tokens the budget of the others.
func (x *searching) run(ctx context.Context) error {
	most := slices.Max(x.params.N)
	samples, err := x.searcher.Sample(ctx, most)
	if err != nil {
		return err
	}
	done, total := 0, len(x.params.N)*len(x.params.Methods)
	for _, n := range x.params.N {
		budget := samples.Likeliest(n)
		for _, method := range x.params.Methods {
			found, err := x.search(ctx, samples, way{method, n, meanSpent(budget)})
			if err != nil {
				return fmt.Errorf("search by %s at n = %d: %w", method, n, err)
			}
			if found != nil {
				if err := x.note(way{method: method, n: n}, found); err != nil {
					return err
				}
			}
			done++
			x.task.Progress(Progress{Done: int64(done), Total: int64(total), Unit: "searches", Note: method})
		}
		x.noteAny(samples, n)
	}
	return nil
}

// way is a method at a size.
type way struct {
	method string
	n      int
	budget float64 // tokens of a problem
}

func meanSpent(outcomes []search.Outcome) float64 {
	sum := 0.0
	for _, o := range outcomes {
		sum += float64(o.Spent)
	}
	return sum / float64(len(outcomes))
}

// search returns nil where a method has no such size.
func (x *searching) search(ctx context.Context, samples *search.Samples, w way) ([]search.Outcome, error) {
	switch w.method {
	case methodBest:
		return samples.Best(w.n)
	case methodLikeliest:
		return samples.Likeliest(w.n), nil
	case methodMajority:
		return samples.Vote(w.n, search.Equal, x.answer)
	case methodWeighted:
		return samples.Vote(w.n, search.Verified, x.answer)
	case methodBeam:
		keep := 1 << int(math.Log2(float64(w.n))/2)
		if w.n < 2 || w.n%keep != 0 {
			return nil, nil
		}
		return x.searcher.Beam(ctx, search.Beams{Keep: keep, Branch: w.n / keep})
	}
	if w.n < 2 {
		return nil, nil
	}
	return x.searcher.MCTS(ctx, search.Tree{Branch: x.params.Branch, Budget: max(1, int(w.budget+0.5)), Bonus: x.params.Bonus})
}

// steps are the texts of the steps of what a search wrote, without what separates them.
func (x *searching) steps(t search.Text) []string {
	var steps []string
	for _, s := range t.Steps {
		if text := strings.TrimSuffix(x.sampler.encoder.text(s.Tokens), x.params.Separator); text != "" || len(steps) == 0 {
			steps = append(steps, text)
		}
	}
	return steps
}

// text is what a search wrote.
func (x *searching) text(t search.Text) string { return x.sampler.encoder.text(t.Tokens()) }

func (x *searching) verdict(t search.Text) task.Verdict {
	v := task.Check(x.prompts[t.Problem].row.Problem, x.text(t))
	v.Right = v.Right && t.Ended()
	return v
}

// answer is what a text votes for.
func (x *searching) answer(t search.Text) string {
	if !t.Ended() {
		return ""
	}
	return x.verdict(t).Answer
}

func (x *searching) note(w way, found []search.Outcome) error {
	hits := make([]float64, len(found))
	for i, o := range found {
		v := x.verdict(o.Text)
		hits[i] = share(v.Right)
		if i >= x.params.Show {
			continue
		}
		row := x.prompts[i].row
		line := writtenAnswer{
			writtenText: writtenText{Prompt: row.Prompt.String(), Text: x.text(o.Text), Ended: o.Text.Ended()}, ID: row.ID,
			Wanted: row.Problem.Answer, Answer: v.Answer, Right: v.Right, Fault: v.Fault, Reward: o.Score, Tokens: o.Spent,
			Method: fmt.Sprintf("%s, n = %d", w.method, w.n),
		}
		if err := x.shown.add(line); err != nil {
			return err
		}
	}
	r := SearchRow{Method: w.method, N: w.n, Accuracy: score.Bootstrap{Seed: x.params.Seed}.Mean(hits), Tokens: meanSpent(found)}
	x.rows = append(x.rows, r)
	x.found[fmt.Sprintf("%s_%d", w.method, w.n)] = r.Accuracy
	return nil
}

// noteAny notes how many problems have a right text among the first n: what no choice among them can exceed.
func (x *searching) noteAny(samples *search.Samples, n int) {
	hits := make([]float64, len(samples.Texts))
	for p, texts := range samples.Texts {
		hits[p] = share(slices.ContainsFunc(texts[:n], func(t search.Text) bool { return x.verdict(t).Right }))
	}
	r := SearchRow{Method: "any", N: n, Accuracy: score.Bootstrap{Seed: x.params.Seed}.Mean(hits), Tokens: meanSpent(samples.Likeliest(n))}
	x.rows = append(x.rows, r)
	x.found[fmt.Sprintf("any_%d", n)] = r.Accuracy
}

// oracle knows the task: of each step whether it is right, where the task has steps, and otherwise whether the whole text is.
type oracle struct{ *searching }

// Judge implements search.Verifier.
func (o oracle) Judge(_ context.Context, texts []search.Text) ([][]float64, error) {
	out := make([][]float64, len(texts))
	for i, t := range texts {
		problem := o.prompts[t.Problem].row.Problem
		kind, err := task.Find(problem.Task)
		if err != nil {
			return nil, err
		}
		if kind.Steps != nil {
			_, labels := kind.Steps(problem, o.text(t))
			for _, right := range labels {
				out[i] = append(out[i], share(right)/100)
			}
		}
		switch {
		case t.Over():
			out[i] = append(out[i], share(o.verdict(t).Right)/100)
		case len(out[i]) == 0:
			out[i] = []float64{0.5} // nothing is known yet
		}
	}
	return out, nil
}
