package activities

import (
	"context"
	"fmt"
	"slices"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/training/model"
	"tempera/training/tokenizer"
)

// rowEncoder turns rows into the tokens that a model goes on from, and what it writes into text.
type rowEncoder struct {
	chat      *chat.Encoder
	tokenizer *tokenizer.Tokenizer
	special   model.Special
	vocab     int
	stop      []int32 // that end a completion besides EOS
}

func newRowEncoder(ctx context.Context, t *Task, from *loadedModel) (*rowEncoder, error) {
	c := from.weights.Config
	encoder, err := ChatEncoder(ctx, t.Store, from.files, c, chat.Options{})
	if err != nil {
		return nil, err
	}
	_, settings, err := tokenizer.Load(manifestFS{ctx, t.Store, from.files})
	if err != nil {
		return nil, folderError(fmt.Errorf("the model's tokenizer: %w", err))
	}
	return &rowEncoder{encoder, from.tokenizer, c.Text.Special, c.Text.Vocab, settings.Stop}, nil
}

// suppressed are the tokens that a completion never has.
func (e *rowEncoder) suppressed() []int32 {
	var ids []int32
	for _, id := range []int32{e.special.Pad, e.special.BOS, e.special.ENC} {
		if id != e.special.EOS && !slices.Contains(e.stop, id) {
			ids = append(ids, id)
		}
	}
	for id := e.tokenizer.Size(); id < e.vocab; id++ { // what the tokenizer does not know
		ids = append(ids, int32(id))
	}
	return ids
}

// completed is a prompt with a completion, without the token that ends it.
func (e *rowEncoder) completed(row *example.Example, text *example.Text) (chat.Encoded, error) {
	x, err := e.chat.Completion(row, text)
	if err != nil {
		return x, err
	}
	if last := x.Tokens[len(x.Tokens)-1]; last == e.special.EOS || slices.Contains(e.stop, last) {
		x.Tokens = x.Tokens[:len(x.Tokens)-1]
	}
	return x, nil
}

// text is what a completion says; its tags are part of it.
func (e *rowEncoder) text(ids []int32) string { return e.tokenizer.DecodePlain(ids) }
