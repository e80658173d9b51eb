package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/training/model"
	"tempera/training/objective"
)

// rlRewardModel is a reward model that judges samples as they were drawn, token by token.
type rlRewardModel struct{ *spanJudge }

// newRLRewardModel loads a model with a score head for texts of the policy's tokenizer.
func newRLRewardModel(dev *compute, w *model.Weights, policy model.Config) (*rlRewardModel, error) {
	c := w.Config
	if c.Score == nil {
		return nil, errors.New("reward_model has no score head: train one with the kind reward_model")
	}
	if c.Text.Vocab != policy.Text.Vocab || c.Text.Context < policy.Text.Context {
		return nil, fmt.Errorf("reward_model has a vocabulary of %d and a context of %d, the policy %d and %d: train it from a model of the same tokenizer",
			c.Text.Vocab, c.Text.Context, policy.Text.Vocab, policy.Text.Context)
	}
	if err := objective.SameSight(c, policy); err != nil {
		return nil, fmt.Errorf("reward_model and the policy: %w", err)
	}
	m, err := model.Load(dev.backend, w)
	if err != nil {
		return nil, err
	}
	j, err := newSpanJudge(m, policy.Text.Context, 1)
	return &rlRewardModel{j}, err
}

// score judges all samples of groups, group after group.
func (r *rlRewardModel) score(ctx context.Context, groups []objective.Group) ([]float64, error) {
	var texts []objective.SpanText
	for _, g := range groups {
		for i := range g.Samples {
			texts = append(texts, spanOf(g.Prompt, &g.Samples[i]))
		}
	}
	values, err := r.values(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("reward model: %w", err)
	}
	scores := make([]float64, len(values))
	for i, v := range values {
		scores[i] = v[0]
	}
	return scores, nil
}

// spanOf is a sample behind its prompt as one span, in which what an environment put in does not count.
func spanOf(p objective.Prompt, s *objective.Sample) objective.SpanText {
	prompt := p.Tokens
	t := objective.SpanText{
		Tokens: append(prompt[:len(prompt):len(prompt)], s.Tokens...), Pictures: p.Pictures,
		Spans: []objective.Span{{From: len(prompt), To: len(prompt) + len(s.Tokens)}},
	}
	t.Learn = make([]bool, len(t.Tokens))
	for i := range s.Tokens {
		t.Learn[len(prompt)+i] = s.Given == nil || !s.Given[i]
	}
	return t
}
