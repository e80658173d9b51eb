package rows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/sample"
)

// record is one row of a file: its fields, in JSON whatever the container.
type record struct {
	where  string // file and line
	file   *file
	fields map[string]json.RawMessage
	images imageList
}

// The reasons of faults beside those of package sample.
const (
	reasonRow  = "row cannot be used"
	reasonJSON = "not JSON"
)

// fault says what is wrong with the row.
func (r *record) fault(err error) *sample.Fault {
	var f *sample.Fault
	if errors.As(err, &f) { // of an image
		return sample.Faulty(r.where, f.Reason, f.Err)
	}
	return sample.Faulty(r.where, reasonRow, err)
}

// skipError is the reason why a row, which is as it should be, says nothing.
type skipError string

func (s skipError) Error() string { return string(s) }

// has tells whether all fields are there, and are not null.
func (r *record) has(names ...string) bool {
	for _, n := range names {
		if raw, ok := r.fields[n]; !ok || string(bytes.TrimSpace(raw)) == "null" {
			return false
		}
	}
	return true
}

// need returns an error that names the fields that are missing.
func (r *record) need(names ...string) error {
	var missing []string
	for _, n := range names {
		if !r.has(n) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("it has no %s", strings.Join(missing, ", no "))
}

// get reads a field. One that is not there leaves v as it is.
func (r *record) get(name string, v any) error {
	if !r.has(name) {
		return nil
	}
	if err := json.Unmarshal(r.fields[name], v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// text reads a field that must be a string with something in it.
func (r *record) text(name string) (string, error) {
	if err := r.need(name); err != nil {
		return "", err
	}
	var s string
	err := r.get(name, &s)
	if err == nil && strings.TrimSpace(s) == "" {
		err = fmt.Errorf("%s is empty", name)
	}
	return s, err
}

// id is what the row calls itself, "" where it does not.
func (r *record) id() string {
	var s string
	if r.get("id", &s) == nil && s != "" {
		return s
	}
	var n json.Number
	if r.get("id", &n) == nil {
		return n.String()
	}
	return ""
}

// finish writes the texts in the style that is wanted and checks the row.
func (r *reader) finish(rec *record, e *example.Example) error {
	for _, t := range []*example.Text{e.Prompt, e.Completion, e.Chosen, e.Rejected} {
		if t != nil && t.Messages != nil && len(t.Messages) == 0 {
			return errors.New("a text has no messages")
		}
	}
	pictures, err := rec.pictures(r.params.Images)
	if err != nil {
		return err
	}
	e.Pictures = pictures
	if err := restyle(e, r.params); err != nil {
		return err
	}
	shown := shows(e)
	if shown > 0 && shown != len(pictures) {
		return fmt.Errorf("its texts show %d images, and it has %d", shown, len(pictures))
	}
	return e.Validate()
}

// shows counts the images that the texts of a row show, of several completions those
// of one.
func shows(e *example.Example) int {
	count := func(messages []example.Message) (n int) {
		for _, m := range messages {
			for _, p := range m.Content {
				if p.Type == "image" {
					n++
				}
			}
		}
		return n
	}
	n := count(e.Messages)
	if e.Prompt != nil {
		n += count(e.Prompt.Messages)
	}
	return n
}

// restyle makes strings of messages, or messages of strings.
func restyle(e *example.Example, p Params) error {
	switch p.Style {
	case Plain:
		if e.Messages != nil {
			return errors.New("it is a conversation: as plain text it needs a prompt and a completion")
		}
		for _, t := range []*example.Text{e.Prompt, e.Completion, e.Chosen, e.Rejected} {
			if t != nil && t.Messages != nil {
				*t = example.Text{Plain: t.String()}
			}
		}
	case Chat:
		toChat(e)
		if p.System == "" {
			return nil
		}
		if e.Messages != nil {
			e.Messages = withSystem(e.Messages, p.System)
		} else if e.Prompt != nil {
			e.Prompt.Messages = withSystem(e.Prompt.Messages, p.System)
		}
	case AsIs, "":
	}
	return nil
}

// toChat makes messages of plain texts: prompts are the user's, images come first.
func toChat(e *example.Example) {
	if p := e.Prompt; p != nil && p.Messages == nil {
		m := example.Message{Role: "user"}
		for range e.Pictures {
			m.Content = append(m.Content, example.Part{Type: "image"})
		}
		m.Content = append(m.Content, example.Part{Type: "text", Text: p.Plain})
		*p = *example.Chat(m)
	}
	for _, t := range []*example.Text{e.Completion, e.Chosen, e.Rejected} {
		if t != nil && t.Messages == nil {
			*t = *example.Chat(example.Say("assistant", t.Plain))
		}
	}
}

func withSystem(messages []example.Message, says string) []example.Message {
	if len(messages) > 0 && messages[0].Role == "system" {
		return messages
	}
	return append([]example.Message{example.Say("system", says)}, messages...)
}
