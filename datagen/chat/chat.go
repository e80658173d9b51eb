// Package chat turns rows for post-training into tokens, and says which of them are
// learned: the chat template of the model writes messages down, plain strings are
// taken as they are.
//
// Start reading at New, then Encoder.Whole, Prompt and Completion.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tempera/datagen/example"
	"tempera/training/tokenizer"
	"tempera/training/tokenizer/jinja"
)

// Learn says which tokens of a row are targets.
type Learn string

// What is learned: what answers the prompt, which of a conversation is its last
// assistant's turn; every assistant's turn, those in the prompt too; or everything.
const (
	Completion Learn = "completion"
	Assistant  Learn = "assistant"
	All        Learn = "all"
)

// Special are the tokens that have a meaning to the model.
type Special struct {
	BOS, EOS, Pad int32
	// Stop are the tokens that end a turn besides EOS, as generation_config.json lists
	// them.
	Stop []int32
	// Image stands for a piece of an image; 0: the model sees none.
	Image int32
}

// Options of an encoder. The zero value learns completions of text.
type Options struct {
	Special Special
	Learn   Learn
	// ImageTokens is how often the model's image token stands for one image.
	ImageTokens int
	// Longest is the most tokens of a row; a longer one is a *LongError. 0: any.
	Longest int
	// Separator ends each step of a list of steps; default "\n". Bare steps end with
	// nothing.
	Separator string
	Bare      bool
	// Date is what templates are told when they ask for the time. Zero: they cannot
	// ask, and take the date that they are written with.
	Date time.Time
}

// Encoded is a row in tokens.
type Encoded struct {
	Tokens []int32
	// Learn[i] says that token i is a target. The first token never is.
	Learn []bool
	// Prompt is how many of the tokens are given: where the completion begins. 0 where
	// a conversation is learned as a whole.
	Prompt int
	// Images are where the tokens of each image begin.
	Images []int
	// Ends is, of a list of steps, where each ends: its last token.
	Ends []int
}

// Learned counts the targets.
func (e Encoded) Learned() int {
	n := 0
	for _, l := range e.Learn {
		if l {
			n++
		}
	}
	return n
}

// LongError says that a row has more tokens than it may have.
type LongError struct {
	Row          string
	Tokens, Most int
}

func (e *LongError) Error() string {
	return fmt.Sprintf("row %s has %d tokens, more than %d", e.Row, e.Tokens, e.Most)
}

// Encoder turns rows into tokens. Its methods may be called concurrently.
type Encoder struct {
	tokenizer *tokenizer.Tokenizer
	template  *jinja.Template // nil without one
	typed     bool            // the template takes lists of parts
	image     string          // the text of the image token
	stopTexts []string        // those of the tokens that end a turn
	turnEnd   int32           // the one that the template ends an answer with
	given     map[string]any  // what every render is told
	options   Options
}

// New makes an encoder. Template is the chat template of the model, Jinja; "" for
// models without one, which then learn plain strings only.
func New(t *tokenizer.Tokenizer, template string, o Options) (*Encoder, error) {
	if o.Learn == "" {
		o.Learn = Completion
	}
	if o.Separator == "" && !o.Bare {
		o.Separator = "\n"
	}
	e := &Encoder{tokenizer: t, options: o, given: map[string]any{}}
	if err := e.check(template); err != nil {
		return nil, err
	}
	for name, id := range map[string]int32{"bos_token": o.Special.BOS, "eos_token": o.Special.EOS, "pad_token": o.Special.Pad} {
		text, _ := t.Token(id)
		e.given[name] = text
	}
	for _, a := range t.Added() {
		if a.ID == o.Special.Image {
			e.image = a.Text
		}
		if e.stops(a.ID) {
			e.stopTexts = append(e.stopTexts, a.Text)
		}
	}
	if !o.Date.IsZero() {
		e.given["strftime_now"] = jinja.Date(o.Date)
	}
	if template == "" {
		return e, nil
	}
	var err error
	if e.template, err = jinja.Parse(template); err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	e.typed = strings.Contains(template, "'image'") || strings.Contains(template, `"image"`)
	e.turnEnd = e.findTurnEnd()
	return e, nil
}

// findTurnEnd looks how the template ends an answer; EOS where it does not show.
func (e *Encoder) findTurnEnd() int32 {
	r := e.row(&example.Example{})
	text, err := r.rendered([]example.Message{example.Say("user", "?"), example.Say(assistant, "!")}, false)
	if err != nil {
		return e.options.Special.EOS
	}
	_, text, _ = strings.Cut(text, "!")
	for _, id := range e.tokenizer.Encode(text) {
		if e.stops(id) {
			return id
		}
	}
	return e.options.Special.EOS
}

// check reports every fault of the options.
func (e *Encoder) check(template string) error {
	o, faults := e.options, []error(nil)
	if !slices.Contains([]Learn{Completion, Assistant, All}, o.Learn) {
		faults = append(faults, fmt.Errorf("learn is %q: use %s, %s or %s", o.Learn, Completion, Assistant, All))
	}
	if o.ImageTokens < 0 || o.Longest < 0 {
		faults = append(faults, fmt.Errorf("image tokens are %d and the longest row is %d: use 0 or more", o.ImageTokens, o.Longest))
	}
	if o.Special.Image > 0 && o.ImageTokens == 0 {
		faults = append(faults, errors.New("the model has an image token, but an image has none of it: give image tokens"))
	}
	named := append([]int32{o.Special.BOS, o.Special.EOS, o.Special.Pad}, o.Special.Stop...)
	if template != "" { // without one, nobody writes the image token as text: it may be one that the tokenizer does not know
		named = append(named, o.Special.Image)
	}
	for _, id := range named {
		if _, ok := e.tokenizer.Token(id); !ok {
			faults = append(faults, fmt.Errorf("special token %d is not in the vocabulary of %d", id, e.tokenizer.Size()))
		}
	}
	return errors.Join(faults...)
}

// HasTemplate tells whether messages can be encoded.
func (e *Encoder) HasTemplate() bool { return e.template != nil }

// stops tells whether a token ends a turn.
func (e *Encoder) stops(id int32) bool {
	return id == e.options.Special.EOS || slices.Contains(e.options.Special.Stop, id)
}

// Whole encodes a conversation, or a prompt with its completion, and marks what is
// to be learned of it.
func (e *Encoder) Whole(x *example.Example) (Encoded, error) {
	r := e.row(x)
	switch x.Form() {
	case example.Conversation:
		return r.done(r.conversation(x.Messages))
	case example.Completed, example.Labelled:
		return r.done(r.whole())
	case example.Stepwise:
		return e.Steps(x)
	case example.Task:
		if x.Completion != nil {
			return r.done(r.whole())
		}
	case example.Preference, example.Choice, example.Question:
	}
	return Encoded{}, fmt.Errorf("row %s: a row of form %q has nothing to learn as a whole: it needs messages, or a prompt and a completion", x.ID, x.Form())
}

// Prompt encodes what is given, up to where the model writes. Of a conversation it
// is all before its last assistant's turn.
func (e *Encoder) Prompt(x *example.Example) (Encoded, error) {
	r := e.row(x)
	err := r.prompt()
	return r.done(err)
}

// Completion encodes the prompt of a row and a completion of it, and marks the
// completion with the token that ends it. A plain completion of a prompt of messages
// is what the model itself would write after the prompt, as samples are.
func (e *Encoder) Completion(x *example.Example, text *example.Text) (Encoded, error) {
	r := e.row(x)
	if text == nil {
		return Encoded{}, fmt.Errorf("row %s: there is no completion", x.ID)
	}
	return r.done(r.completion(text))
}

// Steps encodes the prompt of a row and its list of steps. Each ends with the
// separator; where it does is in Ends.
func (e *Encoder) Steps(x *example.Example) (Encoded, error) {
	r := e.row(x)
	return r.done(r.steps(x.Steps))
}
