package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type evaluatePreferencesParams struct {
	deviceParams
	Batch int    `json:"batch" doc:"Pairs that are judged at a time." min:"1"`
	Pairs int    `json:"pairs" doc:"Most pairs that are judged; 0 takes all." min:"0"`
	Seed  uint64 `json:"seed" doc:"Of the resampled intervals."`
}

// evaluatePreferences measures a reward model on preferences.
func evaluatePreferences() Kind {
	return define(stage.Descriptor{
		Name: "evaluate_preferences", Version: 1, Queue: stage.CPU,
		Headline: []string{"accuracy", "length_bias"},
		Summary:  "Measure a reward model on preferences: accuracy, calibration, length",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "A model with a score head."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Preferences that it was not trained on. Where rows have margins, these are taken for the true differences."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, calibration.json, a line for each pair in pairs.jsonl."}},
	}, evaluatePreferencesParams{Batch: 32}, runEvaluatePreferences)
}

const (
	calibrationFile = "calibration.json"
	pairsFile       = "pairs.jsonl"
)

func runEvaluatePreferences(ctx context.Context, t *Task, p evaluatePreferencesParams) error {
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return err
	}
	if s := from.weights.Config.Score; s == nil || s.Unit != model.CompletionUnit {
		return Invalid(errors.New("the model has no head that judges completions: train it with the kind reward_model"))
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	m, err := model.Load(dev.backend, from.weights)
	if err != nil {
		return err
	}
	e, err := ChatEncoder(ctx, t.Store, from.files, m.Config, chat.Options{Longest: m.Config.Text.Context})
	if err != nil {
		return err
	}
	sight, err := newRetina(m.Config)
	if err != nil {
		return Invalid(err)
	}
	rows, examples, err := preferenceReader{encoder: e, retina: sight}.read(ctx, t, "data")
	if err != nil {
		return err
	}
	if p.Pairs > 0 && len(rows) > p.Pairs {
		rows, examples = rows[:p.Pairs], examples[:p.Pairs]
	}
	v, err := scorePairs(ctx, t, m, &spanRows{rows: rows, config: m.Config, retina: sight, batch: p.Batch, parts: 1})
	if err != nil {
		return err
	}
	data, _ := t.Input("data")
	found := Evaluation{Pairs: len(rows), Model: source.Digest, Data: data.Digest}
	return publishPreferences(ctx, t, p, judgement{found, rulingsOf(v, examples), v, examples})
}

// scorePairs scores the completions of all rows.
func scorePairs(ctx context.Context, t *Task, m *model.Model, s *spanRows) (v objective.SpanValues, err error) {
	r, err := s.reading(func(shapes ...objective.SpanShape) (*objective.SpanScorer, error) {
		return objective.NewSpanScorer(m, objective.Scores, shapes...)
	})
	if err != nil {
		return v, Invalid(err)
	}
	defer func() { err = errors.Join(err, r.scorer.Close()) }()
	v.Values, v.Tokens, err = r.values(ctx, len(s.rows), func(done int) {
		t.Progress(Progress{Done: int64(done), Total: int64(len(s.rows)), Unit: "pairs"})
	})
	return v, err
}

// judgement is what a reward model said of a data set.
type judgement struct {
	Evaluation
	rulings rulings
	scores  objective.SpanValues
	from    []*example.Example
}

// judgedPair is a line of pairs.jsonl.
type judgedPair struct {
	ID       string  `json:"id"`
	Slice    string  `json:"slice,omitempty"`
	Chosen   float64 `json:"chosen"`
	Rejected float64 `json:"rejected"`
	Tokens   [2]int  `json:"tokens"`
	Margin   float64 `json:"margin,omitempty"`
}

// metrics are intervals over pairs.
func (j judgement) metrics(seed uint64) map[string]score.Interval {
	boot := score.Bootstrap{Seed: seed}
	right, known, slices := []float64{}, []float64{}, map[string][]float64{}
	for i, v := range j.rulings {
		right = append(right, v.right())
		if r, ok := v.truly(); ok {
			known = append(known, r)
		}
		if s := j.from[i].Slice; s != "" {
			slices[s] = append(slices[s], v.right())
		}
	}
	correlation, longer := j.rulings.lengthBias()
	out := map[string]score.Interval{
		"accuracy": boot.Mean(right), "length_bias": exactly(correlation), "longer_chosen": exactly(longer), "pairs": exactly(float64(len(right))),
	}
	if len(known) > 0 {
		out["true_accuracy"] = boot.Mean(known)
	}
	for name, x := range slices {
		if len(slices) > 1 {
			out[fmt.Sprintf("accuracy_%s", name)] = boot.Mean(x)
		}
	}
	return out
}

func publishPreferences(ctx context.Context, t *Task, p evaluatePreferencesParams, j judgement) error {
	calibration, err := j.rulings.calibration()
	if err != nil {
		return Invalid(err)
	}
	j.Metrics = j.metrics(p.Seed)
	j.Metrics["calibration_error"], j.Metrics["brier"] = exactly(calibration.Error), exactly(calibration.Brier)
	metrics, err := artifact.EncodeJSON(j.Evaluation)
	if err != nil {
		return err
	}
	table, err := artifact.EncodeJSON(calibration)
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	for i, x := range j.from {
		line, err := json.Marshal(judgedPair{
			ID: x.ID, Slice: x.Slice, Chosen: j.scores.Values[2*i], Rejected: j.scores.Values[2*i+1],
			Tokens: [2]int{j.scores.Tokens[2*i], j.scores.Tokens[2*i+1]}, Margin: x.Margin,
		})
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
	}
	a, err := putTexts(ctx, t.Store, artifact.TypeEvaluation, []text{{evaluationFile, metrics}, {calibrationFile, table}, {pairsFile, lines.Bytes()}})
	if err != nil {
		return err
	}
	t.Output("evaluation", a)
	for name, v := range j.Metrics {
		t.Metric(name, v.Mean)
	}
	return nil
}
