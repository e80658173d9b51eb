package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type evaluateChoicesParams struct {
	deviceParams
	Rows  int    `json:"rows" doc:"Most rows that are measured; 0 measures all." min:"0"`
	Batch int    `json:"batch" doc:"Texts that are scored at a time." min:"1"`
	Bins  int    `json:"bins" doc:"Bins of confidence for the calibration." min:"1" max:"1000"`
	Show  int    `json:"show" doc:"Rows that are kept to be read." min:"0" max:"100000"`
	Seed  uint64 `json:"seed" doc:"Resamples the intervals."`
}

// evaluateChoices measures a model by what it finds likely: answers to choose from, and completions.
func evaluateChoices() Kind {
	return define(stage.Descriptor{
		Name: "evaluate_choices", Version: 1, Queue: stage.CPU,
		Headline: []string{"accuracy", "perplexity"},
		Summary:  "Measure multiple choice by log-likelihood, and the perplexity of completions",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What is measured: an lm or vlm model."},
			{Name: "data", Type: artifact.TypeExamples, Doc: "Rows with choices, or with completions."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, samples.jsonl."}},
	}, evaluateChoicesParams{Batch: 64, Bins: 10, Show: 200}, runEvaluateChoices)
}

// choiceEvaluation is one execution.
type choiceEvaluation struct {
	sampler *sampler
	params  evaluateChoicesParams

	rows   []*example.Example // with choices
	chosen []score.Chosen
	nats   []float64 // of each right text
	tokens []float64
	bytes  []float64
}

// scoredRow is what the texts of a row are found to be: the checkpoint of an evaluation is those of the rows so far.
type scoredRow struct {
	Choices             []score.Choice
	Nats, Tokens, Bytes float64 // of the right text
}

// candidate is a text of a row whose likelihood is asked for.
type candidate struct {
	row   int // of the batch
	parts []generate.Part
	size  int // in tokens
	from  int // where the text begins behind the prompt
	bytes int
	right bool
}

func runEvaluateChoices(ctx context.Context, t *Task, p evaluateChoicesParams) (err error) {
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	s, err := newSampler(ctx, t, samplerOptions{sampling: sampling{Samples: 1, Batch: p.Batch}, dev: dev, port: "model"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	data, _ := t.Input("data")
	source, _ := t.Input("model")
	prompts, err := s.prompts(example.All(ctx, t.Store, data), p.Rows)
	if err != nil {
		return err
	}
	rows, err := resume[[]scoredRow](ctx, t)
	if err != nil {
		return err
	}
	e := &choiceEvaluation{sampler: s, params: p}
	for at := len(rows.known); at < len(prompts); at = len(rows.known) {
		more, err := e.score(ctx, prompts[at:min(len(prompts), at+chunk)])
		if err != nil {
			return err
		}
		rows.known = append(rows.known, more...)
		if err := rows.grew(ctx, len(more)); err != nil {
			return err
		}
		t.Progress(Progress{Done: int64(len(rows.known)), Total: int64(len(prompts)), Unit: "rows"})
	}
	if err := e.choose(prompts, rows.known); err != nil {
		return err
	}
	record := Evaluation{Problems: len(prompts), Tasks: &TaskTables{}, Model: source.Digest, Data: data.Digest}
	if err := e.measure(&record); err != nil {
		return err
	}
	return e.publish(ctx, record)
}

// score asks for the likelihoods of the texts of some rows.
func (e *choiceEvaluation) score(ctx context.Context, prompts []prompted) ([]scoredRow, error) {
	var all []candidate
	for i, p := range prompts {
		found, err := e.candidates(i, p.row)
		if err != nil {
			return nil, Invalid(fmt.Errorf("row %s: %w", p.row.ID, err))
		}
		all = append(all, found...)
	}
	texts := make([]generate.Scored, len(all))
	for i, c := range all {
		texts[i] = generate.Scored{Text: c.parts}
	}
	scores, err := e.sampler.writer.Score(ctx, texts)
	if err != nil {
		return nil, err
	}
	rows := make([]scoredRow, len(prompts))
	for i, c := range all {
		sum := 0.0
		for _, lp := range scores[i][c.from:] {
			sum += float64(lp)
		}
		n, r := c.size-c.from, &rows[c.row]
		r.Choices = append(r.Choices, score.Choice{LogProb: min(0, sum), Tokens: n, Bytes: c.bytes})
		if c.right {
			r.Nats, r.Tokens, r.Bytes = -sum, float64(n), float64(c.bytes)
		}
	}
	return rows, nil
}

// choose gathers the right texts, and what the model would choose where there are choices.
func (e *choiceEvaluation) choose(prompts []prompted, scored []scoredRow) error {
	for i, p := range prompts {
		r := scored[i]
		e.nats, e.tokens, e.bytes = append(e.nats, r.Nats), append(e.tokens, r.Tokens), append(e.bytes, r.Bytes)
		if p.row.Form() != example.Choice {
			continue
		}
		chosen, err := score.Choose(r.Choices)
		if err != nil {
			return fmt.Errorf("row %s: %w", p.row.ID, err)
		}
		e.rows, e.chosen = append(e.rows, p.row), append(e.chosen, chosen)
	}
	return nil
}

// candidates are the choices of a row, or its completion.
func (e *choiceEvaluation) candidates(i int, row *example.Example) ([]candidate, error) {
	var texts []*example.Text
	switch form := row.Form(); form {
	case example.Choice:
		for _, c := range row.Choices {
			texts = append(texts, example.Plain(c))
		}
	case example.Completed, example.Labelled:
		texts = append(texts, row.Completion)
	default:
		return nil, fmt.Errorf("it is of form %q and has neither choices nor a completion", form)
	}
	context := e.sampler.from.weights.Config.Text.Context
	var out []candidate
	for k, text := range texts {
		x, err := e.sampler.encoder.completed(row, text)
		switch {
		case err != nil:
			return nil, err
		case len(x.Tokens) > context:
			return nil, fmt.Errorf("its text %d has %d tokens with the prompt, the context is %d: shorten it", k, len(x.Tokens), context)
		case x.Prompt == len(x.Tokens):
			return nil, fmt.Errorf("its text %d is empty", k)
		}
		parts, err := e.sampler.illustrated(x, row.Pictures)
		if err != nil {
			return nil, err
		}
		out = append(out, candidate{i, parts, len(x.Tokens), x.Prompt, max(1, len(text.String())), row.Choice == nil || k == *row.Choice})
	}
	return out, nil
}

// measure makes metrics of what was scored: accuracy by the sum, the mean over tokens and over bytes, in per cent; perplexity and bits per byte of right
// texts.
func (e *choiceEvaluation) measure(record *Evaluation) (err error) {
	if len(e.nats) == 0 {
		return Invalid(errors.New("there is no row to measure"))
	}
	b := score.Bootstrap{Seed: e.params.Seed}
	ratio := func(name string, below []float64, f func(float64) float64) {
		i := b.Statistic(len(e.nats), func(pick func(int) int) float64 {
			sum, n := 0.0, 0.0
			for k := range e.nats {
				sum, n = sum+e.nats[pick(k)], n+below[pick(k)]
			}
			return f(sum / n)
		})
		record.Metrics[name] = i
	}
	record.Metrics = map[string]score.Interval{}
	ratio("loss", e.tokens, func(x float64) float64 { return x })
	ratio("perplexity", e.tokens, math.Exp)
	ratio("bits_per_byte", e.bytes, func(x float64) float64 { return x / math.Ln2 })
	if len(e.rows) == 0 {
		return nil
	}
	var names []string
	var right []bool
	var sure []float64
	hits := map[string][]float64{}
	for i, row := range e.rows {
		c := e.chosen[i]
		hits["choice"] = append(hits["choice"], share(c.Likeliest == *row.Choice))
		hits["choice_per_token"] = append(hits["choice_per_token"], share(c.PerToken == *row.Choice))
		hits["choice_per_byte"] = append(hits["choice_per_byte"], share(c.PerByte == *row.Choice))
		right, sure, names = append(right, c.Likeliest == *row.Choice), append(sure, c.Sure), append(names, cmp.Or(row.Slice, "all"))
	}
	for name, values := range hits {
		record.Metrics[name] = b.Mean(values)
	}
	if record.Tasks.Slices, err = score.Slices(names, hits["choice"], b); err != nil {
		return err
	}
	calibration, err := score.Calibrate(sure, right, e.params.Bins)
	record.Tasks.Calibration = &calibration
	record.Metrics["calibration_error"] = exactly(100 * calibration.Error)
	return err
}

func (e *choiceEvaluation) publish(ctx context.Context, record Evaluation) error {
	var samples jsonLines
	for i, row := range e.rows[:min(len(e.rows), e.params.Show)] {
		line := writtenAnswer{
			writtenText: writtenText{Prompt: row.Prompt.String(), Text: row.Choices[e.chosen[i].Likeliest], Ended: true}, ID: row.ID,
			Wanted: row.Choices[*row.Choice], Right: e.chosen[i].Likeliest == *row.Choice, Reward: e.chosen[i].Sure,
		}
		line.Answer = line.Text
		if err := samples.add(line); err != nil {
			return err
		}
	}
	return publishEvaluation(ctx, e.sampler.task, record, text{samplesFile, samples.b.Bytes()})
}
