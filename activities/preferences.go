package activities

import (
	"context"
	"fmt"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/training/objective"
)

// preferenceReader makes rows of spans of preferences: the chosen completion, the
// rejected one and, where it is asked for, one of another prompt.
type preferenceReader struct {
	encoder    *chat.Encoder
	retina     *retina // nil: the model sees nothing
	mismatched bool
	labelled   bool // rows with a label are pairs of which one is missing
}

// read encodes the rows of a port.
func (p preferenceReader) read(ctx context.Context, t *Task, port string) ([]spanRow, []*example.Example, error) {
	var rows []spanRow
	var from []*example.Example
	_, err := takeRows(ctx, t, port, func(_ int, x *example.Example) error {
		texts, err := p.texts(x)
		if err == nil {
			err = p.retina.check(x)
		}
		if err == nil {
			rows, from = append(rows, spanRow{id: x.ID, texts: texts, shown: x.Pictures}), append(from, x)
		}
		return err
	})
	if err != nil || !p.mismatched {
		return rows, from, err
	}
	for i := range rows {
		other, err := p.mismatch(from, i)
		if err != nil {
			return nil, nil, Invalid(err)
		}
		rows[i].texts = append(rows[i].texts, other)
	}
	return rows, from, nil
}

// missing is the text of a pair that has one completion only.
func missing() objective.SpanText { return objective.SpanText{Spans: []objective.Span{{}}} }

func (p preferenceReader) texts(x *example.Example) ([]objective.SpanText, error) {
	if p.labelled && x.Form() == example.Labelled {
		e, err := p.encoder.Completion(x, x.Completion)
		if err != nil {
			return nil, err
		}
		if *x.Label {
			return []objective.SpanText{judged(e), missing()}, nil
		}
		return []objective.SpanText{missing(), judged(e)}, nil
	}
	if x.Form() != example.Preference {
		return nil, wrongForm(x, example.Preference)
	}
	chosen, err := p.encoder.Completion(x, x.Chosen)
	if err != nil {
		return nil, err
	}
	rejected, err := p.encoder.Completion(x, x.Rejected)
	if err != nil {
		return nil, err
	}
	if len(chosen.Tokens) <= chosen.Prompt || len(rejected.Tokens) <= rejected.Prompt {
		return nil, fmt.Errorf("row %s has a completion without tokens", x.ID)
	}
	return []objective.SpanText{judged(chosen), judged(rejected)}, nil
}

// mismatch is the prompt of row i with a completion of the next row whose prompt is
// another one, and which fits the context.
func (p preferenceReader) mismatch(from []*example.Example, i int) (objective.SpanText, error) {
	for k := 1; k < len(from); k++ {
		other := from[(i+k)%len(from)]
		if other.Prompt.String() == from[i].Prompt.String() {
			continue
		}
		text := other.Chosen
		if text == nil {
			text = other.Completion
		}
		if e, err := p.encoder.Completion(from[i], text); err == nil {
			return judged(e), nil
		}
	}
	return objective.SpanText{}, fmt.Errorf("row %s has a prompt that no other row's completion goes with: give rows with different prompts", from[i].ID)
}
