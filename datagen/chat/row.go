package chat

import (
	"errors"
	"fmt"
	"strings"

	"tempera/datagen/example"
	"tempera/training/tokenizer"
)

// row is one that is being encoded. Text is cut where learning begins and ends, and
// each piece is encoded by itself: where a completion begins the model has to go on
// from the tokens of the prompt alone, so they must be the same with it and without.
type row struct {
	*Encoder
	x     *example.Example
	out   Encoded
	begun bool // there is text before the next piece
}

func (e *Encoder) row(x *example.Example) *row { return &row{Encoder: e, x: x} }

// done puts the images in and checks the length.
func (r *row) done(err error) (Encoded, error) {
	if err == nil {
		err = r.images()
	}
	if err != nil {
		return Encoded{}, fmt.Errorf("row %s: %w", r.name(), err)
	}
	if len(r.out.Learn) > 0 {
		r.out.Learn[0] = false
	}
	if n, most := len(r.out.Tokens), r.options.Longest; most > 0 && n > most {
		return Encoded{}, &LongError{r.name(), n, most}
	}
	return r.out, nil
}

// name is how a person finds the row.
func (r *row) name() string {
	if r.x.Source == "" || r.x.Source == r.x.ID {
		return r.x.ID
	}
	return r.x.ID + " (" + r.x.Source + ")"
}

// add appends tokens.
func (r *row) add(learn bool, ids ...int32) {
	for _, id := range ids {
		r.out.Tokens = append(r.out.Tokens, id)
		r.out.Learn = append(r.out.Learn, learn)
	}
}

// piece appends a text.
func (r *row) piece(learn bool, text string, added tokenizer.Matched) {
	r.add(learn, r.tokenizer.EncodePiece(tokenizer.Piece{Text: text, Joins: r.begun, Added: added})...)
	r.begun = r.begun || text != ""
}

// plain appends a string as people write it.
func (r *row) plain(learn bool, text string) { r.piece(learn, text, tokenizer.VisibleAdded) }

// prompt encodes what is given.
func (r *row) prompt() error {
	t := r.x.Prompt
	if t == nil && r.x.Messages != nil {
		n := lastTurn(r.x.Messages)
		if n < 0 {
			return errors.New("the conversation has no assistant's turn: there is nothing to answer")
		}
		t = &example.Text{Messages: r.x.Messages[:n]}
	}
	if t == nil {
		return errors.New("it has no prompt")
	}
	if t.Messages != nil {
		text, err := r.rendered(t.Messages, true)
		if err != nil {
			return err
		}
		r.piece(false, text, tokenizer.AllAdded)
	} else {
		r.add(false, r.options.Special.BOS)
		r.plain(false, t.Plain)
	}
	r.out.Prompt = len(r.out.Tokens)
	return nil
}

// lastTurn is the number of the last message of an assistant, -1 without one.
func lastTurn(messages []example.Message) int {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == assistant {
			return i
		}
	}
	return -1
}

// whole encodes prompt and completion. The prompt is learned only where more than
// the completion is asked for.
func (r *row) whole() error {
	p, c := r.x.Prompt, r.x.Completion
	if r.options.Learn != Completion && p.Messages != nil && c.Messages != nil {
		return r.conversation(append(append([]example.Message{}, p.Messages...), c.Messages...))
	}
	err := r.completion(c)
	if r.options.Learn == All {
		for i := range r.out.Learn {
			r.out.Learn[i] = true
		}
	}
	return err
}

// completion encodes the prompt and a completion that ends.
func (r *row) completion(c *example.Text) error {
	p := r.x.Prompt
	if p == nil {
		return errors.New("it has no prompt")
	}
	if c.Messages == nil {
		if err := r.prompt(); err != nil {
			return err
		}
		r.plain(true, c.Plain)
		r.end()
		return nil
	}
	if p.Messages == nil {
		return errors.New("its prompt is a string and its completion messages: both must be of one kind")
	}
	all := append(append([]example.Message{}, p.Messages...), c.Messages...)
	full, err := r.rendered(all, false)
	if err != nil {
		return err
	}
	var turns []span
	for i := len(p.Messages); i < len(all); i++ {
		if all[i].Role != assistant {
			continue
		}
		s, err := r.prefixes(all, i, full)
		if err != nil {
			return err
		}
		turns = append(turns, s)
	}
	if len(turns) == 0 {
		return errors.New("its completion has no assistant's turn")
	}
	r.assemble(ended(full, turns, all), turns, 0)
	return nil
}

// assemble encodes a text of which some parts are learned. The prompt ends where
// part number answer begins.
func (r *row) assemble(text string, learned []span, answer int) {
	at := 0
	for i, s := range learned {
		if s.from > at {
			r.piece(false, text[at:s.from], tokenizer.AllAdded)
		}
		if i == answer {
			r.out.Prompt = len(r.out.Tokens)
		}
		r.turn(text[s.from:s.to])
		at = s.to
	}
	if rest := text[at:]; strings.TrimSpace(rest) != "" {
		r.piece(false, rest, tokenizer.AllAdded)
		return
	}
	r.end()
}

// turn appends what an assistant says. Blanks after the token that ends it, which
// templates write, are not learned.
func (r *row) turn(text string) {
	from := len(r.out.Tokens)
	r.piece(true, text, tokenizer.AllAdded)
	for i := r.lastStop(from) + 1; i > from && i < len(r.out.Tokens); i++ {
		r.out.Learn[i] = false
	}
}

// lastStop is the place of the token that ends a turn, -1 where none is followed by
// blanks alone. It looks no further back than from.
func (r *row) lastStop(from int) int {
	for i := len(r.out.Tokens) - 1; i >= from; i-- {
		if r.stops(r.out.Tokens[i]) {
			if strings.TrimSpace(r.tokenizer.Decode(r.out.Tokens[i+1:])) == "" {
				return i
			}
			break
		}
	}
	return -1
}

// end lets the row end with the token that ends a turn: the blanks after it go, and
// where there is none it is put there.
func (r *row) end() {
	if i := r.lastStop(r.out.Prompt); i >= 0 {
		r.out.Tokens, r.out.Learn = r.out.Tokens[:i+1], r.out.Learn[:i+1]
		return
	}
	r.add(true, r.options.Special.EOS)
}

// steps encodes the prompt and steps of a completion.
func (r *row) steps(steps []string) error {
	if err := r.prompt(); err != nil {
		return err
	}
	for i, s := range steps {
		r.plain(true, s)
		r.plain(true, r.options.Separator)
		if len(r.out.Tokens) == r.out.Prompt {
			return fmt.Errorf("step %d has no tokens", i)
		}
		r.out.Ends = append(r.out.Ends, len(r.out.Tokens)-1)
	}
	return nil
}

// images repeats the token of each image as often as the model wants it. A plain row
// that has images and does not say where shows them first.
func (r *row) images() error {
	n, id := len(r.x.Pictures), r.options.Special.Image
	if n == 0 {
		n = len(r.x.Images)
	}
	if id == 0 {
		if n > 0 {
			return fmt.Errorf("it has %d images, and the model sees none", n)
		}
		return nil
	}
	found := 0
	for _, t := range r.out.Tokens {
		if t == id {
			found++
		}
	}
	if found == 0 && n > 0 && r.plainRow() {
		r.insert(1, n)
		found = n
	}
	if found != n {
		return fmt.Errorf("its texts show %d images, and it has %d", found, n)
	}
	if n > 0 {
		r.repeat()
	}
	return nil
}

func (r *row) plainRow() bool { return r.x.Prompt != nil && r.x.Prompt.Messages == nil }

// insert puts n image tokens at a place.
func (r *row) insert(at, n int) {
	old := r.out
	r.out.Tokens, r.out.Learn = nil, nil
	r.add(false, old.Tokens[:at]...)
	for range n {
		r.add(false, r.options.Special.Image)
	}
	r.out.Tokens = append(r.out.Tokens, old.Tokens[at:]...)
	r.out.Learn = append(r.out.Learn, old.Learn[at:]...)
	r.out.Prompt += n
	for i := range r.out.Ends {
		r.out.Ends[i] += n
	}
}

// repeat makes ImageTokens of each image token; none is learned.
func (r *row) repeat() {
	old := r.out
	r.out = Encoded{}
	places := make([]int, len(old.Tokens)+1) // where each token goes
	for i, id := range old.Tokens {
		places[i] = len(r.out.Tokens)
		if id != r.options.Special.Image {
			r.add(old.Learn[i], id)
			continue
		}
		r.out.Images = append(r.out.Images, len(r.out.Tokens))
		for range r.options.ImageTokens {
			r.add(false, id)
		}
	}
	places[len(old.Tokens)] = len(r.out.Tokens)
	r.out.Prompt = places[old.Prompt]
	for _, at := range old.Ends {
		r.out.Ends = append(r.out.Ends, places[at])
	}
}
