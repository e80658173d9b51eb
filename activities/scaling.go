package activities

import (
	"context"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training/score"
	"tempera/workflows/stage"
)

type scalingParams struct {
	Metric string    `json:"metric" doc:"Metric of the evaluations that the curve is of."`
	Tokens []float64 `json:"tokens" doc:"Tokens, or pairs, that each model was trained on, in the order of the evaluations." above:"0"`
	Seed   uint64    `json:"seed" doc:"Of the intervals."`
}

// scaling fits a curve to the losses of models of several sizes.
func scaling() Kind {
	return define(stage.Descriptor{
		Name: "scaling", Version: 1, Queue: stage.CPU,
		Summary: "Fit the curve of loss over size and tokens",
		Inputs:  []stage.Port{{Name: "evaluations", Type: artifact.TypeEvaluation, Many: true, Doc: "Evaluations of the models, of the kind evaluate_text."}},
		Outputs: []stage.Port{{Name: "scaling", Type: artifact.TypeEvaluation, Doc: "scaling.json: the curve, its intervals, the points."}},
	}, scalingParams{Metric: "loss", Tokens: []float64{}}, runScaling)
}

const scalingFile = "scaling.json"

func runScaling(ctx context.Context, t *Task, p scalingParams) error {
	evaluations := t.Inputs["evaluations"]
	if len(p.Tokens) != len(evaluations) {
		return Invalid(fmt.Errorf("tokens has %d numbers for %d evaluations: give one for each", len(p.Tokens), len(evaluations)))
	}
	var points []score.ScalingPoint
	for i, a := range evaluations {
		e, err := loadEvaluation(ctx, t.Store, a)
		if err != nil {
			return err
		}
		m, ok := e.Metrics[p.Metric]
		size, sized := e.Metrics["parameters"]
		if !ok || !sized {
			return Invalid(fmt.Errorf("evaluation %s has no %s or no parameters: make it with the kind evaluate_text", a.Digest.Short(), p.Metric))
		}
		const wide = 2 * 1.96 // standard errors in an interval of 95 %
		points = append(points, score.ScalingPoint{Parameters: size.Mean, Tokens: p.Tokens[i], Loss: m.Mean, Error: (m.High - m.Low) / wide})
	}
	curve, err := score.FitScaling(points, p.Seed)
	if err != nil {
		return Invalid(err)
	}
	data, err := artifact.EncodeJSON(curve)
	if err != nil {
		return err
	}
	out, err := putTexts(ctx, t.Store, artifact.TypeEvaluation, []text{{scalingFile, data}})
	if err != nil {
		return err
	}
	t.Output("scaling", out)
	t.Metric("floor", curve.Floor.Mean)
	t.Metric("alpha", curve.Alpha.Mean)
	if curve.Beta != nil {
		t.Metric("beta", curve.Beta.Mean)
	}
	t.Metric("worst", curve.Worst)
	return nil
}
