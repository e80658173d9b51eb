package activities

import (
	"context"
	"fmt"
	"slices"

	"tempera/datagen/chat"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
)

// spanRow is a row of data in tokens: a pair is two texts with a span each.
type spanRow struct {
	id    string
	texts []objective.SpanText
	shown [][]byte             // pictures of every text
	extra map[string][]float32 // numbers of its spans, by name
}

// tokens of a row's texts.
func (r spanRow) tokens() int {
	n := 0
	for _, t := range r.texts {
		n += len(t.Tokens)
	}
	return n
}

func (r spanRow) spans() int {
	n := 0
	for _, t := range r.texts {
		n += len(t.Spans)
	}
	return n
}

// judged is a text whose completion is a span.
func judged(e chat.Encoded) objective.SpanText {
	return objective.SpanText{Tokens: e.Tokens, Learn: e.Learn, Spans: []objective.Span{{From: e.Prompt, To: len(e.Tokens)}}}
}

// spanRows are rows, and how they are laid into batches.
type spanRows struct {
	rows   []spanRow
	extra  []string // names of what batches hold besides
	config model.Config
	retina *retina // nil: the model sees nothing
	batch  int     // rows of a batch
	parts  int     // of a batch
}

// shapes are the rooms of a part, the smallest first.
func (s *spanRows) shapes() []objective.SpanShape {
	n := max(1, s.batch/s.parts)
	texts, spans, shown := 0, 0, 0
	tokens := make([]int, len(s.rows))
	for i, r := range s.rows {
		texts, spans, shown, tokens[i] = max(texts, len(r.texts)), max(spans, r.spans()), max(shown, len(r.shown)), r.tokens()
	}
	var shapes []objective.SpanShape
	for _, room := range objective.SpanRooms(tokens, n) {
		shapes = append(shapes, objective.SpanShape{Texts: n * texts, Spans: n * spans, Tokens: room, Pictures: n * shown})
	}
	return shapes
}

// lay writes a batch of the rows of given numbers.
func (s *spanRows) lay(b *training.Batch, shapes []objective.SpanShape, chosen []int) error {
	parts := make([][]objective.SpanText, s.parts)
	most, n := 0, max(1, s.batch/s.parts)
	for p := range parts {
		tokens := 0
		for _, i := range s.part(chosen, p, n) {
			texts, err := s.texts(i)
			if err != nil {
				return err
			}
			parts[p] = append(parts[p], texts...)
			tokens += s.rows[i].tokens()
		}
		most = max(most, tokens)
	}
	shape := shapes[len(shapes)-1]
	for _, c := range shapes {
		if most <= c.Tokens {
			shape = c
			break
		}
	}
	if err := objective.LaySpans(b, s.config, shape, parts...); err != nil {
		return err
	}
	for _, name := range s.extra {
		all := b.Float32s(name, s.parts*shape.Spans)
		clear(all)
		for p := range parts {
			at := all[p*shape.Spans:]
			for _, i := range s.part(chosen, p, n) {
				copy(at, s.rows[i].extra[name])
				at = at[s.rows[i].spans():]
			}
		}
	}
	return nil
}

// texts are those of row i with its pictures.
func (s *spanRows) texts(i int) ([]objective.SpanText, error) {
	row := s.rows[i]
	if len(row.shown) == 0 {
		return row.texts, nil
	}
	pictures, err := s.retina.read(row.shown)
	if err != nil {
		return nil, fmt.Errorf("row %s: image: %w", row.id, err)
	}
	texts := slices.Clone(row.texts)
	for k := range texts {
		if len(texts[k].Tokens) > 0 {
			texts[k].Pictures = pictures
		}
	}
	return texts, nil
}

// part are the rows of part p, n each; the last ones of a short batch may have
// fewer.
func (s *spanRows) part(chosen []int, p, n int) []int {
	return chosen[min(p*n, len(chosen)):min((p+1)*n, len(chosen))]
}

// follow is a lesson that goes through the rows epoch after epoch, each in an
// order of its own.
func (s *spanRows) follow(p tuneParams) (*lesson, error) {
	order, err := training.NewOrder(len(s.rows), s.batch, p.Seed)
	if err != nil {
		return nil, Invalid(err)
	}
	shapes := s.shapes()
	epochs := func(steps int64) []float64 { return []float64{float64(steps) / float64(order.StepsPerEpoch())} }
	return &lesson{
		batch: s.batch, steps: p.stepsOf(order.StepsPerEpoch()), epochs: epochs,
		batches: func(step int64, b *training.Batch) error {
			chosen := order.Batch(step)
			tokens := 0
			for _, i := range chosen {
				tokens += s.rows[i].tokens()
			}
			b.Note(training.TokensKey, float64(tokens))
			b.Note("epoch", epochs(step + 1)[0])
			return s.lay(b, shapes, chosen)
		},
	}, nil
}

// spanReading reads rows out without training.
type spanReading struct {
	*spanRows
	scorer *objective.SpanScorer
	shapes []objective.SpanShape
	batch  training.Batch
}

// reading makes one; scorer makes what reads.
func (s *spanRows) reading(scorer func(...objective.SpanShape) (*objective.SpanScorer, error)) (*spanReading, error) {
	one := *s
	one.parts, one.batch = 1, min(s.batch, len(s.rows))
	r := &spanReading{spanRows: &one, shapes: one.shapes()}
	var err error
	r.scorer, err = scorer(r.shapes...)
	return r, err
}

// values are the numbers of all spans of the first rows, of which there are at most
// so many, and how many tokens each is made of. progress may be nil.
func (r *spanReading) values(ctx context.Context, most int, progress func(done int)) (values []float64, tokens []int, err error) {
	n := min(most, len(r.rows))
	for at := 0; at < n; at += r.spanRows.batch {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		var chosen []int
		spans := 0
		for i := at; i < min(at+r.spanRows.batch, n); i++ {
			chosen = append(chosen, i)
			spans += r.rows[i].spans()
		}
		if err := r.lay(&r.batch, r.shapes, chosen); err != nil {
			return nil, nil, err
		}
		v, t, err := r.scorer.Values(&r.batch)
		if err != nil {
			return nil, nil, fmt.Errorf("read rows %d to %d: %w", at, at+len(chosen), err)
		}
		values, tokens = append(values, v[:spans]...), append(tokens, t[:spans]...)
		if progress != nil {
			progress(at + len(chosen))
		}
	}
	return values, tokens, nil
}

// together are the values of the first rows as a loss sees them.
func (r *spanReading) together(ctx context.Context, most int) (objective.SpanValues, error) {
	v := objective.SpanValues{Extra: map[string][]float32{}}
	var err error
	if v.Values, v.Tokens, err = r.values(ctx, most, nil); err != nil {
		return v, err
	}
	for _, row := range r.rows[:min(most, len(r.rows))] {
		for _, name := range r.extra {
			v.Extra[name] = append(v.Extra[name], row.extra[name]...)
		}
	}
	return v, nil
}

// measure is an evaluation of a loss on held-out rows: the loss and its metrics,
// called val_ and their names.
func (r *spanReading) measure(loss objective.SpanLoss, rows int, more func(v objective.SpanValues, m training.Metrics)) func(context.Context) (training.Metrics, error) {
	return func(ctx context.Context) (training.Metrics, error) {
		v, err := r.together(ctx, rows)
		if err != nil {
			return nil, err
		}
		sum, metrics := loss(v, make([]float64, len(v.Values)))
		out := training.Metrics{"val_loss": sum}
		for name, x := range metrics {
			out["val_"+name] = x
		}
		if more != nil {
			more(v, out)
		}
		return out, nil
	}
}
