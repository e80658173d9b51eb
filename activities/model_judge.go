package activities

import (
	"context"
	"errors"
	"fmt"
	"math"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/serving/search"
	"tempera/training/model"
	"tempera/training/objective"
)

// modelJudge is a model with a score head that judges texts: a reward model, a verifier, or a process reward model.
type modelJudge struct {
	*spanJudge
	encoder *chat.Encoder
	retina  *retina // nil: it sees nothing
	unit    model.Unit
}

// judgeOptions say which model judges what.
type judgeOptions struct {
	dev       *compute
	port      string
	separator string // of steps; "": nothing ends them
}

// newModelJudge loads the model of a port.
func newModelJudge(ctx context.Context, t *Task, o judgeOptions) (*modelJudge, error) {
	port, separator := o.port, o.separator
	source, ok := t.Input(port)
	if !ok {
		return nil, Invalid(fmt.Errorf("there is no input %s: give it a model that the kind reward_model made", port))
	}
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, err
	}
	c := from.weights.Config
	if c.Score == nil {
		return nil, Invalid(fmt.Errorf("input %s has no score head: give it a model that the kind reward_model made", port))
	}
	encoder, err := ChatEncoder(ctx, t.Store, from.files, c, chat.Options{Longest: c.Text.Context, Separator: separator, Bare: separator == ""})
	if err != nil {
		return nil, err
	}
	m, err := model.Load(o.dev.backend, from.weights)
	if err != nil {
		return nil, err
	}
	spans := 1
	if c.Score.Unit == model.StepUnit {
		spans = c.Text.Context
	}
	sight, err := newRetina(c)
	if err != nil {
		return nil, Invalid(err)
	}
	j, err := newSpanJudge(m, c.Text.Context, spans)
	return &modelJudge{j, encoder, sight, c.Score.Unit}, err
}

// close frees the judge, where there is one.
func (j *modelJudge) close() error {
	if j == nil {
		return nil
	}
	return j.spanJudge.close()
}

// completion is a text as labels and preferences are learned.
func (j *modelJudge) completion(row *example.Example, text string) (objective.SpanText, error) {
	x, err := j.encoder.Completion(row, example.Plain(text))
	if err != nil {
		return objective.SpanText{}, err
	}
	return j.seen(judged(x), row)
}

// steps is a text as steps are learned.
func (j *modelJudge) steps(row *example.Example, steps []string) (objective.SpanText, error) {
	stepped := example.Example{ID: row.ID, Prompt: row.Prompt, Steps: steps, StepLabels: make([]bool, len(steps)), Images: row.Images, Pictures: row.Pictures}
	r, err := steppedRow(j.encoder, &stepped)
	if err != nil {
		return objective.SpanText{}, err
	}
	return j.seen(r.texts[0], row)
}

// seen is a text with the pictures of its row.
func (j *modelJudge) seen(text objective.SpanText, row *example.Example) (_ objective.SpanText, err error) {
	text.Pictures, err = j.retina.read(row.Pictures)
	return text, err
}

// Score implements reward.Reward: what a reward model says of a completion.
func (j *modelJudge) Score(ctx context.Context, samples []reward.Sample) ([]float64, error) {
	if j.unit != model.CompletionUnit {
		return nil, Invalid(errors.New("the reward model judges steps: train one on preferences or labels"))
	}
	texts := make([]objective.SpanText, len(samples))
	for i, s := range samples {
		var err error
		if texts[i], err = j.completion(s.Example, s.Text); err != nil {
			return nil, err
		}
	}
	values, err := j.values(ctx, texts)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v[0]
	}
	return out, nil
}

// modelVerifier judges the texts of a search by a model.
type modelVerifier struct {
	*searching
	judge *modelJudge
}

// Judge implements search.Verifier. Texts that the judge cannot read, because they are empty or too long for it, are worth nothing.
func (v modelVerifier) Judge(ctx context.Context, texts []search.Text) ([][]float64, error) {
	spans := make([]objective.SpanText, 0, len(texts))
	read := make([]bool, len(texts))
	for i, t := range texts {
		if v.text(t) == "" {
			continue
		}
		s, err := v.span(t)
		var long *chat.LongError
		switch {
		case errors.As(err, &long):
			continue
		case err != nil:
			return nil, err
		}
		spans, read[i] = append(spans, s), true
	}
	values, err := v.judge.values(ctx, spans)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(texts))
	for i := range texts {
		if !read[i] {
			out[i] = []float64{0}
			continue
		}
		for _, x := range values[0] {
			out[i] = append(out[i], 1/(1+math.Exp(-x)))
		}
		values = values[1:]
	}
	return out, nil
}

// span is a text as its judge has learned such.
func (v modelVerifier) span(t search.Text) (objective.SpanText, error) {
	row := v.prompts[t.Problem].row
	if v.judge.unit == model.CompletionUnit {
		return v.judge.completion(row, v.text(t))
	}
	return v.judge.steps(row, v.steps(t))
}
