package activities

import (
	"context"
	"errors"
	"fmt"
	"math"

	"tempera/datagen/token"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type evaluateTextParams struct {
	deviceParams
	Batch   int        `json:"batch" doc:"Rows of the context that are scored at a time." min:"1"`
	Batches int        `json:"batches" doc:"Most batches that are scored; 0 scores all of the text." min:"0"`
	Samples textSample `json:"samples" doc:"Texts that the model writes."`
	Seed    uint64     `json:"seed" doc:"Of the samples, of the rows that are scored, and of the resampled interval."`
}

// evaluateText measures a language model on text that it was not trained on, and
// lets it write.
func evaluateText() Kind {
	return define(stage.Descriptor{
		Name: "evaluate_text", Version: 1, Queue: stage.CPU,
		Headline: []string{"bits_per_byte"},
		Summary:  "Measure the bits per byte of a language model, and let it write",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What is measured: an lm model."},
			{Name: "data", Type: artifact.TypeTokens, Doc: "Text that it was not trained on, of its tokenizer."},
		},
		Outputs: []stage.Port{{Name: "evaluation", Type: artifact.TypeEvaluation, Doc: "metrics.json with intervals, samples.jsonl."}},
	}, evaluateTextParams{Batch: 16, Samples: textSample{Count: 6, Tokens: 80, Temperature: 0.8, TopP: 0.95}}, runEvaluateText)
}

const samplesFile = "samples.jsonl"

func runEvaluateText(ctx context.Context, t *Task, p evaluateTextParams) (err error) {
	from, err := inputModel(ctx, t)
	if err != nil {
		return err
	}
	if kind := from.weights.Config.Kind; kind != model.LM {
		return Invalid(fmt.Errorf("the model is of kind %s: evaluate it with the kind evaluate", kind))
	}
	file, err := from.tokenizerFile()
	if err != nil {
		return err
	}
	m, err := from.deploy(t)
	if err != nil {
		return err
	}
	defer m.close()
	data, _ := t.Input("data")
	set, err := openTokens(ctx, &job{task: t, model: m.model, tokenizer: file}, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	found, err := scoreText(ctx, t, p, scored{m.model, set})
	if err != nil {
		return err
	}
	samples, err := writeSamples(ctx, m, p)
	if err != nil {
		return err
	}
	lines, err := encodeLines(samples)
	if err != nil {
		return err
	}
	e := Evaluation{Metrics: found, Documents: set.Len(), Model: t.Inputs["model"][0].Digest, Data: data.Digest}
	return publishEvaluation(ctx, t, e, text{samplesFile, lines})
}

// scored is a model and the text that it is measured on.
type scored struct {
	model *model.Model
	set   *token.Set
}

// scoreText measures loss and bits per byte, with intervals over batches of rows.
func scoreText(ctx context.Context, t *Task, p evaluateTextParams, s scored) (_ map[string]score.Interval, err error) {
	o := textScoringOptions{rows: p.Batch, batches: p.Batches, seed: p.Seed}
	if o.batches == 0 {
		o.batches = math.MaxInt
	}
	scoring, err := newTextScoring(s.model, s.set, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	var nats, tokens []float64
	err = scoring.each(ctx, func(n float64, count int) {
		nats, tokens = append(nats, n), append(tokens, float64(count))
		t.Progress(Progress{Done: int64(len(nats)), Total: int64(scoring.take), Unit: "batches"})
	})
	if err != nil {
		return nil, err
	}
	loss := score.Bootstrap{Seed: p.Seed}.Statistic(len(nats), func(pick func(int) int) float64 {
		var sum, count float64
		for i := range nats {
			sum, count = sum+nats[pick(i)], count+tokens[pick(i)]
		}
		return sum / count
	})
	scaled := func(f func(float64) float64) score.Interval {
		return score.Interval{Mean: f(loss.Mean), Low: f(loss.Low), High: f(loss.High), N: loss.N}
	}
	return map[string]score.Interval{
		"loss": loss, "bits_per_byte": scaled(scoring.bits), "perplexity": scaled(math.Exp), "parameters": exactly(parameterCount(s.model.Config)),
	}, nil
}

// exactly is a number without an interval.
func exactly(v float64) score.Interval { return score.Interval{Mean: v, Low: v, High: v, N: 1} }

// parameterCount is the number of a model's trained numbers.
func parameterCount(c model.Config) float64 {
	sum := 0.0
	for _, s := range c.Params() {
		n := 1.0
		for _, d := range s.Shape {
			n *= float64(d)
		}
		sum += n
	}
	return sum
}
