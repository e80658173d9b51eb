package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type rolloutParams struct {
	sampling
	deviceParams
	Rewards   []reward.Term `json:"rewards" doc:"What completions are judged by, with weights; may be empty where there is a reward model."`
	Weight    float64       `json:"reward_weight" doc:"By which the score of the reward model counts."`
	Keep      string        `json:"keep" doc:"all: every completion; right: those with the right answer; best: the best of each prompt; pairs: a better and a worse one of each prompt; labels: every completion, labelled by its answer; steps: every completion in steps that the task labels." enum:"all,right,best,pairs,labels,steps"`
	PerPrompt int           `json:"per_prompt" doc:"Most rows of a prompt; 0 keeps all." min:"0"`
	Distinct  bool          `json:"distinct" doc:"Keeps equal completions of a prompt once."`
	Margin    float64       `json:"margin" doc:"Least difference of the rewards of a pair." min:"0"`
	Noise     float64       `json:"noise" doc:"Makes the judge of pairs err: the better one is chosen with the probability sigmoid(difference / noise); 0 never errs." min:"0"`
	Record    bool          `json:"record" doc:"Keeps the tokens of each completion and how likely they were, which rl needs of samples that it learns from."`
	Prompts   int           `json:"prompts" doc:"Most prompts that are taken; 0 takes all." min:"0"`
}

// Validate reports what no single field shows.
func (p rolloutParams) Validate() error {
	faults := p.faults()
	if p.Keep == keepPairs && p.Samples < 2 {
		faults = append(faults, fmt.Errorf("keep is pairs and samples %d: use at least 2", p.Samples))
	}
	if p.Noise > 0 && p.Keep != keepPairs {
		faults = append(faults, fmt.Errorf("noise is of pairs, and keep is %s: set noise to 0", p.Keep))
	}
	if p.Record && (p.Temperature == 0 || p.Keep != keepAll) {
		faults = append(faults, fmt.Errorf("record is set with keep %s and temperature %v: what is learned from is all samples, drawn at a temperature", p.Keep, p.Temperature))
	}
	if len(p.Rewards) > 0 { // without any there must be a reward model, which is known when it runs
		_, err := reward.Open(p.Rewards)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// What a rollout keeps.
const (
	keepAll    = "all"
	keepRight  = "right"
	keepBest   = "best"
	keepPairs  = "pairs"
	keepLabels = "labels"
	keepSteps  = "steps"
)

// rollout lets a model write completions and judges them: the samples of rejection sampling and distillation, the pairs of on-policy DPO, the labels of
// verifiers.
func rollout() Kind {
	return define(stage.Descriptor{
		Name: "rollout", Version: 1, Queue: stage.CPU, Map: "data",
		Headline: []string{"kept", "right"},
		Summary:  "Let a model write completions, judge them, and keep some",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Who writes: an lm or vlm model."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Prompts, with problems where rewards need them."},
			{Name: "reward_model", Type: artifact.TypeModel, Optional: true, Doc: "A judge beside the rewards: a model with a score head for completions."},
		},
		Outputs: []stage.Port{{Name: "examples", Type: artifact.TypeExamples, Doc: "Completions, or pairs of them, with their rewards."}},
	}, rolloutParams{
		sampling: sampling{Samples: 4, Temperature: 1, MaxTokens: 256, Stop: []string{}, Batch: 64},
		Rewards:  []reward.Term{{Reward: "accuracy", Weight: 1}}, Weight: 1, Keep: keepAll,
	}, runRollout)
}

func runRollout(ctx context.Context, t *Task, p rolloutParams) (err error) {
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
	s.recording = p.Record
	data, _ := t.Input("data")
	prompts, err := s.prompts(rowsOf(ctx, t, data), p.Prompts)
	if err != nil {
		return err
	}
	groups, err := s.write(ctx, "rollout", prompts)
	if err != nil {
		return err
	}
	judges, judge, err := p.judges(ctx, t, dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, judges.Close(), judge.close()) }()
	scored, err := judgeAll(ctx, judges, groups)
	if err != nil {
		return err
	}
	return writeRollout(ctx, t, p, scored)
}

// judges are the rewards, with the reward model where there is one.
func (p rolloutParams) judges(ctx context.Context, t *Task, dev *compute) (*reward.Rewards, *modelJudge, error) {
	judges, err := &reward.Rewards{}, error(nil)
	_, ok := t.Input(modelKey)
	if len(p.Rewards) > 0 || !ok {
		judges, err = reward.Open(p.Rewards)
	}
	if err != nil || !ok {
		return judges, nil, Invalid(err)
	}
	judge, err := newModelJudge(ctx, t, judgeOptions{dev: dev, port: modelKey})
	judges.Add(modelKey, p.Weight, judge)
	return judges, judge, err
}

// tried is a completion with what it is worth.
type tried struct {
	completion
	score   reward.Score
	verdict task.Verdict
	n       int // among the completions of its prompt
}

// group is a row with its completions, judged.
type group struct {
	row   *example.Example
	tries []tried
}

// judgeAll scores all completions, those of a prompt beside each other.
func judgeAll(ctx context.Context, judges *reward.Rewards, groups []rolled) ([]group, error) {
	var all []reward.Sample
	for _, g := range groups {
		all = append(all, g.samples()...)
	}
	scores, err := judges.Score(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]group, len(groups))
	for i, g := range groups {
		out[i].row = g.row
		for k, c := range g.completions {
			x := tried{completion: c, score: scores[0], n: k}
			if scores = scores[1:]; g.row.Problem != nil {
				x.verdict = task.Check(g.row.Problem, c.text)
				x.verdict.Right = x.verdict.Right && c.ended
			}
			out[i].tries = append(out[i].tries, x)
		}
	}
	return out, nil
}

func writeRollout(ctx context.Context, t *Task, p rolloutParams, groups []group) error {
	w := example.NewWriter(t.Store, "rollout", example.Meta{Title: "Completions of a model"})
	count := map[string]float64{"prompts": float64(len(groups))}
	for _, g := range groups {
		g.count(count)
		for _, row := range p.rows(g) {
			if err := w.Add(ctx, row); err != nil {
				return err
			}
		}
	}
	count["kept"] = float64(w.Rows())
	if w.Rows() == 0 && t.Shard == nil {
		return Invalid(fmt.Errorf("no completion of %d prompts is kept (keep: %s, %v of %v are right): sample more, lower margin, or start from a better model", len(groups), p.Keep, count["right"], count["completions"]))
	}
	a, err := w.Close(ctx)
	if err != nil {
		return err
	}
	t.Output("examples", a)
	for name, v := range count {
		t.Metric(name, v)
	}
	if count["flat"] == count["prompts"] && p.Samples > 1 {
		t.Log.Warn("all completions of every prompt have the same reward: there is nothing to learn from them", "prompts", len(groups))
	}
	return nil
}

// count adds a group to what adds up over shards: accuracy is right / completions, the mean reward rewards / completions.
func (g group) count(sums map[string]float64) {
	flat := 1.0
	for _, x := range g.tries {
		sums["completions"]++
		sums["tokens"] += float64(x.tokens)
		sums["rewards"] += x.score.Total
		if x.ended {
			sums["ended"]++
		}
		if x.verdict.Right {
			sums["right"]++
		}
		if x.score.Total != g.tries[0].score.Total {
			flat = 0
		}
	}
	sums["flat"] += flat // prompts whose completions all have the same reward
}

// rows are those that are kept of a group.
func (p rolloutParams) rows(g group) []*example.Example {
	tries := g.tries
	if p.Distinct {
		seen := map[string]bool{}
		tries = slices.DeleteFunc(slices.Clone(tries), func(x tried) bool {
			before := seen[x.text]
			seen[x.text] = true
			return before
		})
	}
	var rows []*example.Example
	switch p.Keep {
	case keepPairs:
		rows = p.pairs(g, tries)
	case keepSteps:
		rows = g.inSteps(tries)
	case keepBest:
		best := slices.MaxFunc(tries, func(a, b tried) int { return cmp.Or(cmp.Compare(a.score.Total, b.score.Total), cmp.Compare(b.n, a.n)) })
		rows = append(rows, g.written(best))
	default:
		for _, x := range tries {
			row := g.written(x)
			if p.Keep == keepLabels {
				row.Label = &x.verdict.Right
			}
			if p.Keep != keepRight || x.verdict.Right {
				rows = append(rows, row)
			}
		}
	}
	if p.PerPrompt > 0 {
		rows = rows[:min(len(rows), p.PerPrompt)]
	}
	return rows
}

// written is a row with a completion.
func (g group) written(x tried) *example.Example {
	row := *g.row
	row.ID = fmt.Sprintf("%s-%d", g.row.ID, x.n)
	row.Completion, row.Score, row.Rewards, row.Drawn = task.Written(g.row, x.text), &x.score.Total, x.score.Parts, x.drawn
	if row.Problem != nil {
		problem := *row.Problem
		problem.Traces = nil // those of the task; the completion is the model's own
		row.Problem = &problem
	}
	return &row
}

// pairs sets the best against the worst, the second against the second worst, and so on, as long as they are far enough apart.
func (p rolloutParams) pairs(g group, tries []tried) []*example.Example {
	tries = slices.Clone(tries)
	slices.SortStableFunc(tries, func(a, b tried) int { return cmp.Compare(b.score.Total, a.score.Total) })
	var rows []*example.Example
	for i, k := 0, len(tries)-1; i < k; i, k = i+1, k-1 {
		better, worse := tries[i], tries[k]
		gap := better.score.Total - worse.score.Total
		if gap < p.Margin || gap == 0 {
			break
		}
		row := g.written(better)
		row.ID = fmt.Sprintf("%s-%d", g.row.ID, i)
		if !task.Preferred(better.score.Total, worse.score.Total, p.Noise, task.Key{Seed: p.Seed, ID: row.ID}) {
			better, worse, gap = worse, better, -gap
		}
		row.Completion, row.Score, row.Rewards, row.Margin = nil, nil, nil, gap
		row.Chosen, row.Rejected = task.Written(g.row, better.text), task.Written(g.row, worse.text)
		rows = append(rows, row)
	}
	return rows
}

// inSteps are the completions whose steps the task can label.
func (g group) inSteps(tries []tried) []*example.Example {
	if g.row.Problem == nil {
		return nil
	}
	kind, err := task.Find(g.row.Problem.Task)
	if err != nil || kind.Steps == nil {
		return nil
	}
	var rows []*example.Example
	for _, x := range tries {
		steps, labels := kind.Steps(g.row.Problem, x.text)
		if len(steps) == 0 {
			continue
		}
		row := g.written(x)
		row.Completion, row.Steps, row.StepLabels = nil, steps, labels
		rows = append(rows, row)
	}
	return rows
}
