package activities

import (
	"context"
	"fmt"

	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/datagen/task"
	"tempera/training/objective"
)

// rlJudge gives samples the rewards of a stage.
type rlJudge struct {
	ctx     context.Context    // of the stage: an objective's step takes none
	rows    []*example.Example // by the index of a prompt
	rewards *reward.Rewards
	model   *rlRewardModel // nil: rules alone judge
	weight  float64        // of the model's score
	// unfinished is the score of samples that were cut off; nil: the model judges them too.
	unfinished *float64
	decode     func(tokens []int32) string
	length     int // most tokens of a sample
}

// Judge is part of objective.Judge.
func (j *rlJudge) Judge(groups []objective.Group) error {
	var samples []reward.Sample
	for _, g := range groups {
		for i := range g.Samples {
			samples = append(samples, j.sample(g, i))
		}
	}
	scores, err := j.rewards.Score(j.ctx, samples)
	if err != nil {
		return err
	}
	at := 0
	for i := range groups {
		g := &groups[i]
		g.Verdicts = make([]objective.Verdict, len(g.Samples))
		for k := range g.Samples {
			s := samples[at]
			g.Verdicts[k] = objective.Verdict{Reward: scores[at].Total, Parts: scores[at].Parts, Right: right(s, scores[at].Parts)}
			at++
		}
	}
	return j.judgeByModel(groups)
}

// modelKey names the reward model's part of the rewards.
const modelKey = "reward_model"

// judgeByModel adds the reward model's scores.
func (j *rlJudge) judgeByModel(groups []objective.Group) error {
	if j.model == nil {
		return nil
	}
	scores, err := j.model.score(j.ctx, groups)
	if err != nil {
		return err
	}
	at := 0
	for _, g := range groups {
		for i := range g.Samples {
			v := &g.Verdicts[i]
			if j.unfinished != nil && !g.Samples[i].Ended {
				scores[at] = *j.unfinished
			}
			v.Parts[modelKey] = scores[at]
			v.Reward += j.weight * scores[at]
			at++
		}
	}
	return nil
}

// sample is what a reward sees of a sample: its text without the token that ended it.
func (j *rlJudge) sample(g objective.Group, i int) reward.Sample {
	s := g.Samples[i]
	return reward.Sample{Example: j.rows[g.Prompt.Index], Text: j.text(s), Tokens: len(s.Tokens), Ended: s.Ended, Budget: j.length}
}

func (j *rlJudge) text(s objective.Sample) string {
	tokens := s.Tokens
	if s.Ended {
		tokens = tokens[:len(tokens)-1]
	}
	return j.decode(tokens)
}

// accuracyKey names the reward for right answers, where it has no other name.
const accuracyKey = "accuracy"

// right tells whether a sample answers its problem, as the reward for that says where there is one: it may take texts that were cut off.
func right(s reward.Sample, parts map[string]float64) bool {
	if v, ok := parts[accuracyKey]; ok {
		return v == 1
	}
	return s.Ended && s.Example.Problem != nil && task.Check(s.Example.Problem, s.Text).Right
}

// strategies counts the ways that samples go about their problems, as shares of those that go a known one.
func (j *rlJudge) strategies(groups []objective.Group) map[string]float64 {
	shares, n := map[string]float64{}, 0.0
	for _, g := range groups {
		p := j.rows[g.Prompt.Index].Problem
		if p == nil {
			continue
		}
		t, err := task.Find(p.Task)
		if err != nil || t.Strategy == nil {
			continue
		}
		for i := range g.Samples {
			if way := t.Strategy(p, j.text(g.Samples[i])); way != "" {
				shares["strategy_"+way]++
				n++
			}
		}
	}
	for way := range shares {
		shares[way] /= n
	}
	return shares
}

// written is a sample as a row of examples.
func (j *rlJudge) written(g objective.Group, i int) *example.Example {
	from := j.rows[g.Prompt.Index]
	row := *from
	row.ID = fmt.Sprintf("%s-%d", from.ID, i)
	row.Completion = example.Plain(j.text(g.Samples[i]))
	v := g.Verdicts[i]
	row.Score, row.Rewards = &v.Reward, v.Parts
	return &row
}
