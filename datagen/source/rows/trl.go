package rows

import (
	"errors"
	"reflect"

	"tempera/datagen/example"
)

// trl is the rows of TRL's trainers, and of our own shards: messages; prompt with
// completion, with chosen and rejected, or with a label; chosen and rejected alone,
// which begin with the prompt; completions with the labels of steps. What shards of
// ours have besides, such as a problem, comes along.
func trl() Format {
	return Format{
		Name: "trl", Summary: "TRL's: messages; prompt with completion, chosen and rejected, label; completions and labels of steps",
		fits: func(r *record) bool {
			return r.has("messages") || r.has("prompt") || r.has("chosen", "rejected") || r.has("prompt", "completions")
		},
		read: func(r *record) ([]*example.Example, error) { return one(readTRL(r)) },
	}
}

func readTRL(r *record) (*example.Example, error) {
	e := &example.Example{ID: r.id()}
	if err := r.addImages("images", "image"); err != nil {
		return nil, err
	}
	var err error
	if r.has("messages") {
		if e.Messages, err = r.messages(r.fields["messages"]); err != nil {
			return nil, err
		}
	}
	for _, t := range []struct {
		name string
		to   **example.Text
	}{{"prompt", &e.Prompt}, {"completion", &e.Completion}, {"chosen", &e.Chosen}, {"rejected", &e.Rejected}} {
		if *t.to, err = r.either(t.name); err != nil {
			return nil, err
		}
	}
	for name, to := range map[string]any{
		"label": &e.Label, "completions": &e.Steps, "labels": &e.StepLabels, "choices": &e.Choices, "choice": &e.Choice, "problem": &e.Problem,
		"margin": &e.Margin, "slice": &e.Slice, "score": &e.Score, "rewards": &e.Rewards, "tools": &e.Tools,
	} {
		if err := r.get(name, to); err != nil {
			return nil, err
		}
	}
	if e.Prompt == nil && e.Chosen != nil && e.Rejected != nil {
		if err := splitPrompt(e); err != nil {
			return nil, err
		}
	}
	if e.Form() == "" {
		return nil, r.need("messages", "prompt")
	}
	return e, nil
}

// splitPrompt takes the prompt from the begin that chosen and rejected share: of
// messages up to the first that differs, of strings up to the end of the last
// question, as in Anthropic's HH.
func splitPrompt(e *example.Example) error {
	c, d := e.Chosen, e.Rejected
	if (c.Messages == nil) != (d.Messages == nil) {
		return errors.New("chosen and rejected are a string and messages: both must be of one kind")
	}
	if c.Messages == nil {
		return splitPlain(e)
	}
	n := 0
	for n < len(c.Messages) && n < len(d.Messages) && reflect.DeepEqual(c.Messages[n], d.Messages[n]) {
		n++
	}
	if n == 0 || n == len(c.Messages) || n == len(d.Messages) {
		return errors.New("it has no prompt, and chosen and rejected do not begin with one: they share all messages or none")
	}
	e.Prompt = &example.Text{Messages: c.Messages[:n]}
	e.Chosen, e.Rejected = &example.Text{Messages: c.Messages[n:]}, &example.Text{Messages: d.Messages[n:]}
	return nil
}

// splitPlain cuts strings where they begin to differ, back to the last blank.
func splitPlain(e *example.Example) error {
	c, d := e.Chosen.Plain, e.Rejected.Plain
	n := 0
	for n < len(c) && n < len(d) && c[n] == d[n] {
		n++
	}
	for n > 0 && c[n-1] != ' ' && c[n-1] != '\n' && c[n-1] != '\t' {
		n--
	}
	if n > 0 { // the blank begins the answer
		n--
	}
	if n == 0 || c == d {
		return errors.New("it has no prompt, and chosen and rejected do not begin with one")
	}
	e.Prompt, e.Chosen, e.Rejected = example.Plain(c[:n]), example.Plain(c[n:]), example.Plain(d[n:])
	return nil
}
