package rows

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tempera/datagen/example"
)

// mapped are the fields that a row of no known format may be said to have. Those of
// problems are answer and task.
func mapped() []string {
	return []string{
		"id", "messages", "prompt", "completion", "chosen", "rejected", "margin", "label", "completions", "labels", "choices", "choice", "images", "tools", "slice",
		"system", "answer", "task",
	}
}

func checkFields(given map[string]string) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(mapped(), name) {
			faults = append(faults, fmt.Errorf("fields has %q: use %s", name, strings.Join(mapped(), ", ")))
		}
		if given[name] == "" {
			faults = append(faults, fmt.Errorf("fields: %s is no key: name a key of the rows, or several with points between them", name))
		}
	}
	return faults
}

// fields reads rows of which it is said which key is what: the row is written anew
// with the names of TRL, and read as that.
func fields(given map[string]string) Format {
	return Format{
		Name: fieldsName, Summary: "any JSON: fields say which key is which",
		read: func(r *record) ([]*example.Example, error) {
			renamed := map[string]json.RawMessage{}
			for name, key := range given {
				if raw := dig(r.fields, strings.Split(key, ".")); raw != nil {
					renamed[name] = raw
				}
			}
			if len(renamed) == 0 {
				return nil, fmt.Errorf("it has none of the keys that fields name: it has %s", strings.Join(slices.Sorted(maps.Keys(r.fields)), ", "))
			}
			in := *r
			in.fields = renamed
			e, err := readTRL(&in)
			r.images = in.images
			if err != nil {
				return nil, err
			}
			return one(e, in.more(e))
		},
	}
}

// more reads what TRL has no name for.
func (r *record) more(e *example.Example) error {
	if r.has("answer") {
		p := &example.Problem{Task: "text"}
		if err := r.get("task", &p.Task); err != nil {
			return err
		}
		var n json.Number
		if r.get("answer", &p.Answer) != nil {
			if err := r.get("answer", &n); err != nil {
				return err
			}
			p.Answer = n.String()
		}
		e.Problem = p
	}
	var system string
	if err := r.get("system", &system); err != nil || system == "" {
		return err
	}
	if e.Messages != nil {
		e.Messages = withSystem(e.Messages, system)
	} else if e.Prompt != nil && e.Prompt.Messages != nil {
		e.Prompt.Messages = withSystem(e.Prompt.Messages, system)
	}
	return nil
}

// dig finds a value by keys within each other.
func dig(in map[string]json.RawMessage, path []string) json.RawMessage {
	raw := in[path[0]]
	if len(path) == 1 || raw == nil {
		return raw
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return nil
	}
	return dig(inner, path[1:])
}
