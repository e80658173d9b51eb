package activities

import (
	"context"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/workflows/stage"
)

type drawParams struct {
	Iteration int64  `json:"iteration" doc:"Which iteration of the training it is, from 0 on." min:"0"`
	Prompts   int    `json:"prompts" doc:"Problems of an iteration." min:"1"`
	Shards    int    `json:"shards" doc:"Parts that they are cut into: as many stages of a mapped rollout." min:"1"`
	MaxTokens int    `json:"max_tokens" doc:"Tokens of the context that a problem must leave for a sample." min:"0"`
	Seed      uint64 `json:"seed" doc:"Of the order of the problems: with that of rl, those that rl itself asks."`
}

// Validate reports what no single field shows.
func (p drawParams) Validate() error {
	if p.Shards > p.Prompts {
		return fmt.Errorf("shards is %d, more than the %d prompts: lower it", p.Shards, p.Prompts)
	}
	return nil
}

// draw chooses the problems of an iteration of reinforcement whose rollouts are stages of their own.
func draw() Kind {
	return define(stage.Descriptor{
		Name: "draw", Version: 1, Queue: stage.CPU,
		Headline: []string{"prompts"},
		Summary:  "Choose the problems of one iteration of reinforcement, in shards for a mapped rollout",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "Whose tokenizer and context decide which problems fit: an lm model."},
			{Name: "problems", Type: artifact.TypeExamples, Many: true, Doc: "What is chosen from."},
		},
		Outputs: []stage.Port{{Name: "examples", Type: artifact.TypeExamples, Doc: "The problems, in the order of the iteration."}},
	}, drawParams{Prompts: 32, Shards: 2, Seed: 0}, runDraw)
}

func runDraw(ctx context.Context, t *Task, p drawParams) error {
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return err
	}
	c := from.weights.Config
	if c.Kind != model.LM {
		return Invalid(fmt.Errorf("the model is of kind %s: give an lm model", c.Kind))
	}
	e, err := ChatEncoder(ctx, t.Store, from.files, c, chat.Options{})
	if err != nil {
		return err
	}
	problems, err := openPrompts(ctx, t, "problems", promptEncoder{prompt: givenBy(e), context: c.Text.Context, room: max(1, p.MaxTokens)})
	if err != nil {
		return err
	}
	problems.seed = p.Seed
	drawn, err := problems.Draw(p.Iteration, 0, p.Prompts)
	if err != nil {
		return err
	}
	parts := make([]artifact.Artifact, p.Shards)
	for i := range parts {
		w := example.NewWriter(t.Store, "part", example.Meta{Title: fmt.Sprintf("Problems of iteration %d", p.Iteration)})
		for place := i * len(drawn) / p.Shards; place < (i+1)*len(drawn)/p.Shards; place++ {
			row := *problems.rows[drawn[place].Index]
			row.ID = fmt.Sprintf("%d-%s", place, row.ID) // rows of several inputs may have equal names
			if err := w.Add(ctx, &row); err != nil {
				return err
			}
		}
		if parts[i], err = w.Close(ctx); err != nil {
			return err
		}
	}
	out, err := example.Join(ctx, t.Store, "problems", parts)
	if err != nil {
		return err
	}
	t.Output("examples", out)
	t.Metric("prompts", float64(len(drawn)))
	return nil
}
