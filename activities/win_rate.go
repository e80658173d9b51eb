package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type winRateParams struct {
	sampling
	deviceParams
	Judge    string         `json:"judge" doc:"Who compares: rewards, reward_model (the input of that name), or endpoint." enum:"rewards,reward_model,endpoint"`
	Rewards  []reward.Term  `json:"rewards" doc:"Of the judge rewards: the larger total wins."`
	Endpoint endpointParams `json:"endpoint" doc:"Of the judge endpoint."`
	Tie      float64        `json:"tie" doc:"Difference of rewards up to which nobody wins." min:"0"`
	Prompts  int            `json:"prompts" doc:"Most prompts; 0 takes all." min:"0"`
	Show     int            `json:"show" doc:"Comparisons that are kept to be read." min:"0" max:"100000"`
}

// Validate reports what no single field shows.
func (p winRateParams) Validate() error {
	faults := p.faults()
	switch p.Judge {
	case judgeEndpoint:
		faults = append(faults, p.Endpoint.faults()...)
	case judgeRewards:
		_, err := reward.Open(p.Rewards)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// The judges.
const (
	judgeRewards  = "rewards"
	judgeEndpoint = "endpoint"
)

// winRate lets two models answer the same prompts and a judge say who does better.
func winRate() Kind {
	return define(stage.Descriptor{
		Name: "win_rate", Version: 1, Queue: stage.CPU,
		Headline: []string{"win_rate", "reward_gap"},
		Summary:  "Let two models answer the same prompts, and a judge compare them",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What is measured: an lm or vlm model."},
			{Name: "baseline", Type: artifact.TypeModel, Doc: "What it is held against: an lm or vlm model."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Prompts, with problems where rewards need them."},
			{Name: "reward_model", Type: artifact.TypeModel, Optional: true, Doc: "The judge reward_model: a model with a score head for completions."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, samples.jsonl."}},
	}, winRateParams{
		sampling: sampling{Samples: 1, Temperature: 1, MaxTokens: 256, Stop: []string{}, Batch: 64}, Judge: judgeRewards,
		Rewards: []reward.Term{{Reward: "accuracy", Weight: 1}}, Endpoint: defaultEndpoint(), Show: 100,
	}, runWinRate)
}

// match is two completions of a prompt.
type match struct {
	row             *example.Example
	model, baseline completion
	result          float64            // 1 the model wins, 0 the baseline, a half nobody
	gap             float64            // of the rewards, where they judge
	rewards         map[string]float64 // of the model
	why             string
}

// matchJudge says who wins. It fills in what it finds of every match.
type matchJudge func(ctx context.Context, matches []match) error

func runWinRate(ctx context.Context, t *Task, p winRateParams) (err error) {
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	written, err := resumeSampling(ctx, t)
	if err != nil {
		return err
	}
	var sides [2][]rolled
	for i, port := range []string{"model", "baseline"} {
		if sides[i], err = writeSide(ctx, t, samplerOptions{p.sampling, dev, port, written}, p.Prompts); err != nil {
			return err
		}
	}
	matches := pairUp(sides)
	if len(matches) == 0 {
		return Invalid(errors.New("there is no prompt that both models can write to"))
	}
	judge, closeJudge, err := p.judge(ctx, t, dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeJudge()) }()
	if err := judge(ctx, matches); err != nil {
		return err
	}
	return publishMatches(ctx, t, p, matches)
}

// writeSide lets the model of a port answer up to so many prompts; 0: all.
func writeSide(ctx context.Context, t *Task, o samplerOptions, most int) (_ []rolled, err error) {
	s, err := newSampler(ctx, t, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	data, _ := t.Input("data")
	prompts, err := s.prompts(example.All(ctx, t.Store, data), most)
	if err != nil {
		return nil, err
	}
	return s.write(ctx, o.port, prompts)
}

// pairUp sets the completions of both models on the same prompts against each other.
func pairUp(sides [2][]rolled) []match {
	other := map[string]rolled{}
	for _, r := range sides[1] {
		other[r.row.ID] = r
	}
	var out []match
	for _, r := range sides[0] {
		o := other[r.row.ID]
		for i := range min(len(r.completions), len(o.completions)) {
			out = append(out, match{row: r.row, model: r.completions[i], baseline: o.completions[i]})
		}
	}
	return out
}

// judge is who compares, and what frees it.
func (p winRateParams) judge(ctx context.Context, t *Task, dev *compute) (matchJudge, func() error, error) {
	if p.Judge == judgeEndpoint {
		return newEndpoint(t, p.Endpoint).compare, func() error { return nil }, nil
	}
	judges, judge, err := &reward.Rewards{}, (*modelJudge)(nil), error(nil)
	if p.Judge == modelKey {
		judge, err = newModelJudge(ctx, t, judgeOptions{dev: dev, port: modelKey})
		judges.Add(modelKey, 1, judge)
	} else {
		judges, err = reward.Open(p.Rewards)
		err = Invalid(err)
	}
	compare := func(ctx context.Context, matches []match) error { return p.byRewards(ctx, judges, matches) }
	return compare, func() error { return errors.Join(judges.Close(), judge.close()) }, err
}

// byRewards compares totals.
func (p winRateParams) byRewards(ctx context.Context, judges *reward.Rewards, matches []match) error {
	var samples []reward.Sample
	for _, side := range []func(m match) completion{func(m match) completion { return m.model }, func(m match) completion { return m.baseline }} {
		for _, m := range matches {
			samples = append(samples, rolled{m.row, []completion{side(m)}}.samples()...)
		}
	}
	scores, err := judges.Score(ctx, samples)
	if err != nil {
		return err
	}
	for i := range matches {
		m := &matches[i]
		m.gap, m.rewards = scores[i].Total-scores[len(matches)+i].Total, scores[i].Parts
		switch m.result = 0.5; {
		case m.gap > p.Tie:
			m.result = 1
		case m.gap < -p.Tie:
			m.result = 0
		}
	}
	return nil
}

// playedMatch is a line of samples.jsonl.
type playedMatch struct {
	writtenText
	ID       string             `json:"id"`
	Baseline string             `json:"baseline"`
	Result   float64            `json:"result"`
	Gap      float64            `json:"gap,omitempty"`
	Rewards  map[string]float64 `json:"rewards,omitempty"`
	Why      string             `json:"why,omitempty"`
}

func publishMatches(ctx context.Context, t *Task, p winRateParams, matches []match) error {
	var wins, ties, losses int
	var names []string
	var values, gaps, lengths, others []float64
	var samples jsonLines
	for i, m := range matches {
		switch m.result {
		case 1:
			wins++
		case 0:
			losses++
		default:
			ties++
		}
		values, gaps, names = append(values, 100*m.result), append(gaps, m.gap), append(names, m.row.Slice)
		lengths, others = append(lengths, float64(m.model.tokens)), append(others, float64(m.baseline.tokens))
		if i >= p.Show {
			continue
		}
		line := playedMatch{writtenText{m.row.Prompt.String(), m.model.text, m.model.ended}, m.row.ID, m.baseline.text, m.result, m.gap, m.rewards, m.why}
		if err := samples.add(line); err != nil {
			return err
		}
	}
	b := score.Bootstrap{Seed: p.Seed}
	rate := score.WinRate(wins, ties, losses)
	source, _ := t.Input("model")
	data, _ := t.Input("data")
	record := Evaluation{Problems: len(matches), Tasks: &TaskTables{Samples: p.Samples}, Model: source.Digest, Data: data.Digest, Metrics: map[string]score.Interval{
		"win_rate":        {Mean: 100 * rate.Mean, Low: 100 * rate.Low, High: 100 * rate.High, N: rate.N},
		"ties":            exactly(100 * float64(ties) / float64(len(matches))),
		"length":          b.Mean(lengths),
		"length_baseline": b.Mean(others),
	}}
	if p.Judge != judgeEndpoint {
		record.Metrics["reward_gap"] = b.Mean(gaps)
	}
	var err error
	if record.Tasks.Slices, err = score.Slices(names, values, b); err != nil {
		return err
	}
	t.Log.Info("compared", "wins", wins, "ties", ties, "losses", losses, "judge", p.Judge, "rate", fmt.Sprintf("%.3f", rate.Mean))
	return publishEvaluation(ctx, t, record, text{samplesFile, samples.b.Bytes()})
}
