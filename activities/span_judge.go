package activities

import (
	"context"
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
)

// spanJudge scores spans of texts by a model with a score head, some texts at a time.
type spanJudge struct {
	scorer *objective.SpanScorer
	shapes []objective.SpanShape // the smallest first
	config model.Config
	batch  training.Batch
}

// judgedTexts is how many texts pass a judge at a time.
const judgedTexts = 32

// judgedShares are the shares of the longest batch that there are shapes for: padding is a quarter at most of all but short ones.
var judgedShares = []float64{0.25, 0.5, 0.75, 1}

// newSpanJudge takes texts of at most context tokens with at most spans spans each, and of a vlm a picture each.
func newSpanJudge(m *model.Model, context, spans int) (*spanJudge, error) {
	j := &spanJudge{config: m.Config}
	pictures := 0
	if m.Config.Kind == model.VLM {
		pictures = judgedTexts
	}
	for _, share := range judgedShares {
		j.shapes = append(j.shapes, objective.SpanShape{Texts: judgedTexts, Spans: judgedTexts * spans, Tokens: int(share * float64(judgedTexts*context)), Pictures: pictures})
	}
	var err error
	j.scorer, err = objective.NewSpanScorer(m, objective.Scores, j.shapes...)
	return j, err
}

// values are the scores of the spans of each text.
func (j *spanJudge) values(ctx context.Context, texts []objective.SpanText) ([][]float64, error) {
	out := make([][]float64, 0, len(texts))
	for part := range slices.Chunk(texts, judgedTexts) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		tokens := 0
		for _, t := range part {
			tokens += len(t.Tokens)
		}
		k := slices.IndexFunc(j.shapes, func(s objective.SpanShape) bool { return tokens <= s.Tokens })
		if k < 0 {
			return nil, fmt.Errorf("%d texts have %d tokens, more than %d", len(part), tokens, j.shapes[len(j.shapes)-1].Tokens)
		}
		if err := objective.LaySpans(&j.batch, j.config, j.shapes[k], part); err != nil {
			return nil, err
		}
		values, _, err := j.scorer.Values(&j.batch)
		if err != nil {
			return nil, err
		}
		for _, t := range part {
			out, values = append(out, values[:len(t.Spans):len(t.Spans)]), values[len(t.Spans):]
		}
	}
	return out, nil
}

func (j *spanJudge) close() error { return j.scorer.Close() }
