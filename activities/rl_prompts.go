package activities

import (
	"context"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/objective"
)

// rlPrompts are problems and how the model is asked them. Each epoch goes through them in an order of its own; rounds after the first have orders
// of their own too.
type rlPrompts struct {
	rows   []*example.Example
	tokens [][]int32 // by row
	retina *retina   // nil: the model sees nothing
	seed   uint64
	orders map[[2]int]*training.Order // by round and number
}

// openPrompts reads problems. Rows without a prompt and those whose prompt leaves less than room tokens of the context are left out, counted and named.
func openPrompts(ctx context.Context, t *Task, port string, e promptEncoder) (*rlPrompts, error) {
	p := &rlPrompts{retina: e.retina, orders: map[[2]int]*training.Order{}}
	_, err := takeRows(ctx, t, port, func(_ int, x *example.Example) error {
		tokens, err := e.prompt(x)
		if err == nil && len(tokens)+e.room > e.context {
			err = fmt.Errorf("row %s: its prompt has %d tokens, of %d of the context: fewer than %d are left for a sample", x.ID, len(tokens), e.context, e.room)
		}
		if err == nil {
			err = e.retina.check(x)
		}
		if err == nil {
			p.rows, p.tokens = append(p.rows, x), append(p.tokens, tokens)
		}
		return err
	})
	return p, err
}

// promptEncoder turns a row into what the model is asked.
type promptEncoder struct {
	prompt  func(x *example.Example) ([]int32, error)
	retina  *retina // nil: the model sees nothing
	context int
	room    int // tokens that must be left for a sample
}

// Draw is part of objective.Prompts.
func (p *rlPrompts) Draw(iteration int64, round, n int) ([]objective.Prompt, error) {
	key := [2]int{round, n}
	if p.orders[key] == nil {
		o, err := training.NewOrder(len(p.rows), n, p.seed^uint64(round)<<32)
		if err != nil {
			return nil, Invalid(fmt.Errorf("problems: %w", err))
		}
		p.orders[key] = o
	}
	return p.asked(p.orders[key].Batch(iteration))
}

// first are the prompts of the first rows.
func (p *rlPrompts) first(n int) ([]objective.Prompt, error) {
	rows := make([]int, min(n, len(p.rows)))
	for i := range rows {
		rows[i] = i
	}
	return p.asked(rows)
}

// asked are the prompts of rows with their pictures.
func (p *rlPrompts) asked(rows []int) ([]objective.Prompt, error) {
	out := make([]objective.Prompt, len(rows))
	for i, row := range rows {
		pictures, err := p.retina.read(p.rows[row].Pictures)
		if err != nil {
			return nil, fmt.Errorf("row %s: image: %w", p.rows[row].ID, err)
		}
		out[i] = objective.Prompt{Index: row, Tokens: p.tokens[row], Pictures: pictures}
	}
	return out, nil
}

// storeSamples stores samples as examples.
func storeSamples(ctx context.Context, t *Task, j *rlJudge, groups []objective.Group) (artifact.Artifact, error) {
	w := example.NewWriter(t.Store, "samples", example.Meta{Title: "Samples of the policy after its last step, with their rewards"})
	for _, g := range groups {
		for i := range g.Samples {
			if err := w.Add(ctx, j.written(g, i)); err != nil {
				return artifact.Artifact{}, err
			}
		}
	}
	return w.Close(ctx)
}

// longest is the length of the longest prompt.
func (p *rlPrompts) longest() int {
	n := 0
	for _, t := range p.tokens {
		n = max(n, len(t))
	}
	return n
}

// givenBy is a promptEncoder's function of an encoder of rows.
func givenBy(e *chat.Encoder) func(x *example.Example) ([]int32, error) {
	return func(x *example.Example) ([]int32, error) {
		encoded, err := e.Prompt(x)
		return encoded.Tokens, err
	}
}
