package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
)

// rlRewardModel is a reward model that judges samples as they were drawn, token by token.
type rlRewardModel struct {
	scorer *objective.SpanScorer
	rooms  []int // tokens of the shapes, the smallest first
	pad    int32
	batch  training.Batch
}

// rewardTexts is how many samples pass a reward model at a time.
const rewardTexts = 32

// rewardRooms are the shares of the longest batch that there are shapes for: padding is a quarter at most of all but short ones.
var rewardRooms = []float64{0.25, 0.5, 0.75, 1}

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
	m, err := model.Load(dev.backend, w)
	if err != nil {
		return nil, err
	}
	r := &rlRewardModel{pad: c.Text.Special.Pad}
	var shapes []objective.SpanShape
	for _, share := range rewardRooms {
		r.rooms = append(r.rooms, int(share*float64(rewardTexts*policy.Text.Context)))
		shapes = append(shapes, r.shape(len(r.rooms)-1))
	}
	r.scorer, err = objective.NewSpanScorer(m, objective.Scores, shapes...)
	return r, err
}

func (r *rlRewardModel) shape(room int) objective.SpanShape {
	return objective.SpanShape{Texts: rewardTexts, Spans: rewardTexts, Tokens: r.rooms[room]}
}

// score judges all samples of groups, group after group.
func (r *rlRewardModel) score(ctx context.Context, groups []objective.Group) ([]float64, error) {
	var texts []objective.SpanText
	for _, g := range groups {
		for i := range g.Samples {
			texts = append(texts, spanOf(g.Prompt.Tokens, &g.Samples[i]))
		}
	}
	var scores []float64
	for at := 0; at < len(texts); at += rewardTexts {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		part := texts[at:min(at+rewardTexts, len(texts))]
		room, tokens := 0, 0
		for _, t := range part {
			tokens += len(t.Tokens)
		}
		for room < len(r.rooms)-1 && r.rooms[room] < tokens {
			room++
		}
		if err := objective.LaySpans(&r.batch, r.shape(room), r.pad, part); err != nil {
			return nil, fmt.Errorf("reward model: %w", err)
		}
		values, _, err := r.scorer.Values(&r.batch)
		if err != nil {
			return nil, fmt.Errorf("reward model: %w", err)
		}
		scores = append(scores, values[:len(part)]...)
	}
	return scores, nil
}

// spanOf is a sample behind its prompt as one span, in which what an environment put in does not count.
func spanOf(prompt []int32, s *objective.Sample) objective.SpanText {
	t := objective.SpanText{Tokens: append(prompt[:len(prompt):len(prompt)], s.Tokens...), Spans: []objective.Span{{From: len(prompt), To: len(prompt) + len(s.Tokens)}}}
	t.Learn = make([]bool, len(t.Tokens))
	for i := range s.Tokens {
		t.Learn[len(prompt)+i] = s.Given == nil || !s.Given[i]
	}
	return t
}

func (r *rlRewardModel) close() error { return r.scorer.Close() }
