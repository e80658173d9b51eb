package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
	"tempera/workflows/stage"
)

type rewardParams struct {
	tuneParams
	Learn     string        `json:"learn" doc:"From what: preferences (pairs), labels (completions that are right or wrong: a verifier), steps (steps that are right or wrong: a process reward model)." enum:"preferences,labels,steps"`
	Readout   model.Readout `json:"readout" doc:"How a score is read: last (at the last token), sum (of a number for each token; small models learn it sooner), likelihood (of the model's own log-probabilities)." enum:"last,sum,likelihood"`
	Scale     float64       `json:"scale" doc:"sum, likelihood: what the sum is multiplied by." above:"0"`
	Bias      float64       `json:"bias" doc:"likelihood: where the bias of the score starts."`
	Batch     int           `json:"batch" doc:"Pairs, or rows, of a step." min:"1"`
	Margin    bool          `json:"margin" doc:"preferences: the chosen completion should be ahead by the row's margin, where it has one."`
	Centring  float64       `json:"centring" doc:"preferences: weight of the squared sum of a pair's scores, which keeps them around 0; 0.01 is usual." min:"0"`
	Separator string        `json:"separator" doc:"steps: what ends each step; empty: nothing does."`
}

// Validate reports what no single field shows.
func (p rewardParams) Validate() error {
	faults := p.faults(p.Batch)
	if p.Bias != 0 && p.Readout != model.Likelihood {
		faults = append(faults, fmt.Errorf("bias is %v: it is for the readout likelihood", p.Bias))
	}
	if p.Learn != learnPreferences && (p.Margin || p.Centring != 0) {
		faults = append(faults, errors.New("margin and centring are for preferences: leave them out"))
	}
	return errors.Join(faults...)
}

// What a reward model learns from.
const (
	learnPreferences = "preferences"
	learnLabels      = "labels"
	learnSteps       = "steps"
)

// rewardModel trains a model to judge: a reward model, a verifier, or a process
// reward model.
func rewardModel() Kind {
	p := rewardParams{tuneParams: defaultTune(), Learn: learnPreferences, Readout: model.LastScore, Scale: 1, Batch: 32, Separator: "\n"}
	return define(stage.Descriptor{
		Name: "reward_model", Version: 1, Queue: stage.CPU,
		Headline: []string{"accuracy", "loss"},
		Summary:  "Train a reward model on preferences, or a verifier on labels of completions or steps",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Where to start from; it gets a score head."},
			{Name: "data", Type: artifact.TypeExamples, Many: true, Doc: "Preferences, labelled completions, or steps."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Rows that are not learned from: accuracy, calibration and what length does are measured on them."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The model with its score head."}},
	}, p, runRewardModel)
}

// head is the score head that the parameters ask for.
func (p rewardParams) head() *model.Score {
	s := &model.Score{Readout: p.Readout, Unit: model.CompletionUnit, Bias: p.Bias}
	if p.Readout != model.LastScore {
		s.Scale = p.Scale
	}
	if p.Learn == learnSteps {
		s.Unit = model.StepUnit
	}
	return s
}

// judging is a training of a reward model.
type judging struct {
	*tuning
	params  rewardParams
	encoder *chat.Encoder
}

func runRewardModel(ctx context.Context, t *Task, p rewardParams) (err error) {
	u, err := openTuning(ctx, t, p.tuneParams, tuneOptions{change: func(c *model.Config) { c.Score = p.head() }})
	if err != nil {
		return err
	}
	defer u.close()
	e, err := u.encoder(ctx, chat.Options{Separator: p.Separator, Bare: p.Separator == ""})
	if err != nil {
		return err
	}
	j := &judging{u, p, e}
	l, err := j.lesson(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := (course{t, p.loopParams, u.model, l}).run(ctx); err != nil {
		return err
	}
	return u.publish(ctx)
}

// rows reads the rows of a port, with their labels and margins.
func (j *judging) rows(ctx context.Context, port string) (*spanRows, []*example.Example, error) {
	s := &spanRows{config: j.model.Config, retina: j.retina, batch: j.params.Batch, parts: j.params.parts()}
	if j.params.Learn == learnPreferences {
		rows, from, err := preferenceReader{encoder: j.encoder, retina: j.retina}.read(ctx, j.task, port)
		if s.rows = rows; j.params.Margin {
			s.extra = []string{objective.Margin}
			for i, x := range from {
				s.rows[i].extra = map[string][]float32{objective.Margin: {float32(x.Margin), 0}}
			}
		}
		return s, from, err
	}
	s.extra = []string{objective.Label}
	read := labelledRow
	if j.params.Learn == learnSteps {
		read = steppedRow
	}
	_, err := takeRows(ctx, j.task, port, func(_ int, x *example.Example) error {
		row, err := read(j.encoder, x)
		if err == nil {
			err = j.retina.check(x)
		}
		if err == nil {
			s.rows = append(s.rows, row)
		}
		return err
	})
	return s, nil, err
}

// labelledRow is a completion with its label.
func labelledRow(e *chat.Encoder, x *example.Example) (spanRow, error) {
	if x.Form() != example.Labelled {
		return spanRow{}, wrongForm(x, example.Labelled)
	}
	text, err := e.Completion(x, x.Completion)
	if err != nil {
		return spanRow{}, err
	}
	return spanRow{id: x.ID, texts: []objective.SpanText{judged(text)}, shown: x.Pictures, extra: map[string][]float32{objective.Label: {number(*x.Label)}}}, nil
}

// steppedRow is a completion whose spans are its steps.
func steppedRow(e *chat.Encoder, x *example.Example) (spanRow, error) {
	if x.Form() != example.Stepwise {
		return spanRow{}, wrongForm(x, example.Stepwise)
	}
	text, err := e.Steps(x)
	if err != nil {
		return spanRow{}, err
	}
	out := objective.SpanText{Tokens: text.Tokens, Learn: text.Learn}
	var labels []float32
	at := text.Prompt
	for i, end := range text.Ends {
		out.Spans = append(out.Spans, objective.Span{From: at, To: end + 1})
		labels, at = append(labels, number(x.StepLabels[i])), end+1
	}
	return spanRow{id: x.ID, texts: []objective.SpanText{out}, shown: x.Pictures, extra: map[string][]float32{objective.Label: labels}}, nil
}

func number(truth bool) float32 {
	if truth {
		return 1
	}
	return 0
}

func (j *judging) lesson(ctx context.Context) (_ *lesson, err error) {
	data, _, err := j.rows(ctx, "data")
	if err != nil {
		return nil, err
	}
	l, err := data.follow(j.params.tuneParams)
	if err != nil {
		return nil, err
	}
	loss := objective.Labels()
	if j.params.Learn == learnPreferences {
		loss = objective.BradleyTerry(j.params.Centring)
	}
	o, all, err := parallel.Spread(j.task.Group, j.model, func(m *model.Model) (*objective.Spans, error) {
		return objective.NewSpans(m, objective.SpanOptions{
			Plan:    objective.Plan{Batch: j.params.Batch, Accumulate: j.params.parts(), Checkpoint: j.params.Recompute},
			Readout: objective.Scores, Loss: loss, Extra: data.extra,
		}, data.shapes()...)
	})
	if err != nil {
		return nil, Invalid(err)
	}
	l.objective, l.close, l.score, l.lower = all, all.Close, "val_loss", true
	l.shown = []string{"accuracy", "reward_margin", "reward_chosen", "reward_rejected", "brier"}
	return l, j.measureHeldOut(ctx, l, loss, o)
}

// measureHeldOut lets a lesson measure the model on held-out rows, where they are
// given.
func (j *judging) measureHeldOut(ctx context.Context, l *lesson, loss objective.SpanLoss, o *objective.Spans) error {
	if _, ok := j.task.Input("held_out"); !ok {
		return nil
	}
	held, from, err := j.rows(ctx, "held_out")
	if err != nil {
		return errors.Join(err, l.close())
	}
	r, err := held.reading(o.Scorer)
	if err != nil {
		return errors.Join(err, l.close())
	}
	closeObjective := l.close
	l.close = func() error { return errors.Join(r.scorer.Close(), closeObjective()) }
	var more func(objective.SpanValues, training.Metrics)
	if j.params.Learn == learnPreferences {
		more = func(v objective.SpanValues, m training.Metrics) {
			for name, x := range rulingsOf(v, from).summary() {
				m["val_"+name] = x
			}
		}
	}
	l.evaluate = r.measure(loss, j.params.EvaluateBatches*j.params.Batch, more)
	return nil
}
