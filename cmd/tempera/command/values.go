package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tempera/workflows/dag"
)

// readObject reads what --params takes: a JSON object, @file, or - for standard
// input. "" is {}.
func (a *app) readObject(text string) (map[string]any, error) {
	var data []byte
	var err error
	switch {
	case text == "":
		return map[string]any{}, nil
	case text == "-":
		data, err = io.ReadAll(a.in)
	case strings.HasPrefix(text, "@"):
		data, err = os.ReadFile(text[1:])
	default:
		data = []byte(text)
	}
	if err != nil {
		return nil, wrong(fmt.Errorf("--params: %w", err))
	}
	object, err := decodeObject(data)
	if err != nil {
		return nil, wrong(fmt.Errorf("--params: %w", err))
	}
	return object, nil
}

func decodeObject(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // seeds above 2^53 stay what they are
	object := map[string]any{}
	if err := d.Decode(&object); err != nil {
		return nil, fmt.Errorf("want a JSON object, e.g. '{\"seeds\": 5}': %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one JSON object and nothing after it")
	}
	return object, nil
}

// setting is one --set key=value.
type setting struct {
	path  []string
	value any
}

// parseSettings reads --set flags; every fault is reported. The value is JSON
// where it is any, else text.
func parseSettings(flags []string) ([]setting, error) {
	var settings []setting
	var faults []error
	for _, f := range flags {
		key, text, ok := strings.Cut(f, "=")
		path := strings.Split(strings.TrimSpace(key), ".")
		if !ok || key == "" {
			faults = append(faults, fmt.Errorf("--set %q: want key=value, e.g. filter.steps=500", f))
			continue
		}
		var value any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&value); err != nil || d.More() {
			value = text
		}
		settings = append(settings, setting{path, value})
	}
	return settings, wrong(errors.Join(faults...))
}

// apply puts the value under its path, making objects on the way.
func (s setting) apply(object map[string]any) error {
	for i, key := range s.path[:len(s.path)-1] {
		below, ok := object[key]
		if !ok || below == nil {
			below = map[string]any{}
			object[key] = below
		}
		next, ok := below.(map[string]any)
		if !ok {
			return wrong(fmt.Errorf("--set %s: %s is not an object", strings.Join(s.path, "."), strings.Join(s.path[:i+1], ".")))
		}
		object = next
	}
	object[s.path[len(s.path)-1]] = s.value
	return nil
}

// applyToSpec puts the value into the parameters of a stage: stage.key=value.
func (s setting) applyToSpec(spec *dag.Spec) error {
	if len(s.path) < 2 {
		return wrong(fmt.Errorf("--set %s: in a file of stages the key begins with a stage, e.g. %s.%s", s.path[0], firstStage(spec), s.path[0]))
	}
	for i := range spec.Stages {
		st := &spec.Stages[i]
		if st.ID != s.path[0] {
			continue
		}
		object := map[string]any{}
		if len(st.Params) > 0 {
			var err error
			if object, err = decodeObject(st.Params); err != nil {
				return wrong(fmt.Errorf("parameters of stage %s: %w", st.ID, err))
			}
		}
		if err := (setting{s.path[1:], s.value}).apply(object); err != nil {
			return err
		}
		data, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("parameters of stage %s: %w", st.ID, err)
		}
		st.Params = data
		return nil
	}
	return wrong(fmt.Errorf("--set %s: there is no stage %q%s", strings.Join(s.path, "."), s.path[0], suggestion(s.path[0], stageIDs(spec))))
}

func firstStage(spec *dag.Spec) string {
	if len(spec.Stages) > 0 {
		return spec.Stages[0].ID
	}
	return "stage"
}

func stageIDs(spec *dag.Spec) []string {
	ids := make([]string, 0, len(spec.Stages))
	for _, s := range spec.Stages {
		ids = append(ids, s.ID)
	}
	return ids
}

// suggestion is ": did you mean ...?" where one of the candidates is near.
func suggestion(word string, candidates []string) string {
	if near, ok := dag.Nearest(word, candidates); ok {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ": there are " + strings.Join(candidates, ", ")
}
