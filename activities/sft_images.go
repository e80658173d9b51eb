package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
)

// illustratedRow is a row in tokens, with its image as it lies in the shard.
type illustratedRow struct {
	chat.Encoded
	picture []byte
}

// illustratedRows make lessons for a vision-language model of rows with an image
// each. A text has a row of the batch to itself; images become squares.
type illustratedRows struct {
	*tuning
	params   sftParams
	encoder  *chat.Encoder
	teaching teaching // nil: texts teach alone
}

// openIllustrated refuses parameters that rows without images take.
func openIllustrated(u *tuning, p sftParams, e *chat.Encoder) (*illustratedRows, error) {
	if len(p.Weights) > 0 || p.Noise > 0 || p.Context != u.model.Config.Text.Context {
		return nil, Invalid(errors.New("weights, noise and context are for language models: leave them out for a vision-language model"))
	}
	return &illustratedRows{tuning: u, params: p, encoder: e}, nil
}

func (s *illustratedRows) read(ctx context.Context, port string) ([]illustratedRow, error) {
	var rows []illustratedRow
	_, err := takeRows(ctx, s.task, port, func(_ int, x *example.Example) error {
		if len(x.Pictures) != 1 {
			return fmt.Errorf("row %s has %d images: a vision-language model learns from rows with one", x.ID, len(x.Pictures))
		}
		e, err := s.encoder.Whole(x)
		if err != nil {
			return err
		}
		if e.Learned() == 0 {
			return fmt.Errorf("row %s has nothing to learn", x.ID)
		}
		if err := s.retina.check(x); err != nil {
			return err
		}
		rows = append(rows, illustratedRow{e, x.Pictures[0]})
		return nil
	})
	return rows, err
}

// fill writes rows of given numbers into a batch; what is left of it is padding,
// with the first one's image.
func (s *illustratedRows) fill(b *training.Batch, rows []illustratedRow, chosen []int) error {
	c, n := s.model.Config, s.params.Batch
	context, pixels := c.Text.Context, c.Vision.Pixels()
	tokens, targets := b.Int32s(objective.Tokens, n*context), b.Int32s(objective.Targets, n*context)
	images := b.Float32s(objective.Images, n*pixels)
	for i := range n {
		row := rows[chosen[min(i, len(chosen)-1)]]
		at := tokens[i*context : (i+1)*context]
		for k := copy(at, row.Tokens); k < context; k++ {
			at[k] = c.Text.Special.Pad
		}
		for k := range context {
			targets[i*context+k] = device.IgnoreIndex
			if i < len(chosen) && k+1 < len(row.Tokens) && row.Learn[k+1] {
				targets[i*context+k] = row.Tokens[k+1]
			}
		}
		if err := s.retina.decoder.Preprocess(row.picture, images[i*pixels:(i+1)*pixels]); err != nil {
			return err
		}
	}
	return nil
}

// lengths are the token counts at which steps are computed besides the context's:
// that of the longest row.
func (s *illustratedRows) lengths(rows []illustratedRow) []int {
	most := 0
	for _, r := range rows {
		most = max(most, len(r.Tokens))
	}
	if most = (most + 7) / 8 * 8; most >= s.model.Config.Text.Context {
		return nil
	}
	return []int{most}
}

func (s *illustratedRows) lesson(ctx context.Context) (_ *lesson, err error) {
	rows, err := s.read(ctx, "data")
	if err != nil {
		return nil, err
	}
	order, err := training.NewOrder(len(rows), s.params.Batch, s.params.Seed)
	if err != nil {
		return nil, Invalid(err)
	}
	plan := objective.Plan{Batch: s.params.Batch, Accumulate: s.params.parts(), Checkpoint: s.params.Recompute, Lengths: s.lengths(rows)}
	_, o, err := parallel.Spread(s.task.Group, s.model, func(m *model.Model) (*objective.VLM, error) {
		teacher, err := s.teaching.teacher(s.tuning, m.Backend())
		if err != nil {
			return nil, err
		}
		o, err := objective.NewVLM(m, objective.VLMOptions{Plan: plan, Teacher: teacher})
		return o, Invalid(err)
	})
	if err != nil {
		return nil, err
	}
	epochs := func(steps int64) []float64 { return []float64{float64(steps) / float64(order.StepsPerEpoch())} }
	l := &lesson{
		objective: o, close: o.Close, batch: s.params.Batch, steps: s.params.stepsOf(order.StepsPerEpoch()), epochs: epochs, score: "val_loss", lower: true,
		shown: []string{"divergence", "cross_entropy"},
		batches: func(step int64, b *training.Batch) error {
			chosen := order.Batch(step)
			learned := 0
			for _, i := range chosen {
				learned += rows[i].Learned()
			}
			b.Note(training.TokensKey, float64(learned))
			b.Note("epoch", epochs(step + 1)[0])
			return s.fill(b, rows, chosen)
		},
	}
	if _, ok := s.task.Input("held_out"); !ok {
		return l, nil
	}
	held, err := s.read(ctx, "held_out")
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	scorer, err := objective.NewVLMScorer(s.model, objective.VLMOptions{Plan: objective.Plan{Batch: s.params.Batch}})
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	l.close = func() error { return errors.Join(scorer.Close(), o.Close()) }
	l.evaluate = func(ctx context.Context) (training.Metrics, error) { return s.measure(ctx, scorer, held) }
	return l, nil
}

// measure is the loss of a learned token of held-out rows, in nats.
func (s *illustratedRows) measure(ctx context.Context, scorer *objective.VLMScorer, held []illustratedRow) (training.Metrics, error) {
	numbers := make([]int, min(len(held), s.params.EvaluateBatches*s.params.Batch))
	for i := range numbers {
		numbers[i] = i
	}
	var b training.Batch
	var sum float64
	var count int
	for chosen := range slices.Chunk(numbers, s.params.Batch) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.fill(&b, held, chosen); err != nil {
			return nil, err
		}
		nats, tokens, err := scorer.Score(&b)
		if err != nil {
			return nil, err
		}
		sum, count = sum+nats, count+tokens
	}
	return training.Metrics{"val_loss": sum / float64(max(1, count))}, nil
}
