package dag

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"tempera/workflows/stage"
)

// Schema returns the JSON Schema (draft 2020-12) of what ParseFile reads, with
// the parameters and inputs of every kind of the catalog, indented. Editors
// complete and check run files with it; what it cannot say, Check does.
func Schema(catalog Catalog) ([]byte, error) {
	spec, err := schemaOf[Spec]("name", "stages")
	if err != nil {
		return nil, err
	}
	run, err := schemaOf[RunFile]("workflow")
	if err != nil {
		return nil, err
	}
	run.Properties["params"] = &jsonschema.Schema{Type: "object", Description: run.Properties["params"].Description}
	one, err := stageSchema(catalog)
	if err != nil {
		return nil, err
	}
	stages := spec.Properties["stages"]
	stages.Types, stages.Type = nil, "array"
	stages.Items = ref("stage")
	stages.MinItems, stages.MaxItems = new(1), new(maxStages)
	spec.Properties["name"].Pattern = runName.String()
	tidy(spec)
	root := &jsonschema.Schema{
		Schema:      "https://json-schema.org/draft/2020-12/schema",
		Title:       "Tempera run file",
		Description: "A pipeline of stages, or a named workflow with its parameters.",
		Type:        "object",
		If:          &jsonschema.Schema{Required: []string{"workflow"}},
		Then:        ref("run"),
		Else:        ref("pipeline"),
		Defs:        map[string]*jsonschema.Schema{"pipeline": spec, "run": run, "stage": one},
	}
	for _, name := range catalog.Names() {
		d, _ := catalog.Kind(name)
		if root.Defs[paramsDef(name)], err = paramsSchema(d); err != nil {
			return nil, fmt.Errorf("schema of kind %s: %w", name, err)
		}
	}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(b, '\n'), nil
}

func ref(def string) *jsonschema.Schema { return &jsonschema.Schema{Ref: "#/$defs/" + def} }

func paramsDef(kind string) string { return "params." + kind }

func schemaOf[T any](required ...string) (*jsonschema.Schema, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(stage.SchemaFor[T](), &s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	s.Required = required
	return &s, nil
}

// tidy gives durations, queues and lists the forms that Check wants.
func tidy(s *jsonschema.Schema) {
	for name, p := range s.Properties {
		switch name {
		case "interval", "timeout", "repair":
			p.Pattern = `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$|^0$`
		case "queue":
			p.Enum = nil
			for _, q := range queues {
				p.Enum = append(p.Enum, q)
			}
		case "max_failed":
			p.Types, p.Type = []string{"string", "integer"}, ""
		}
		tidy(p)
	}
}

func stageSchema(catalog Catalog) (*jsonschema.Schema, error) {
	s, err := schemaOf[Stage]("id", "kind")
	if err != nil {
		return nil, err
	}
	source := &jsonschema.Schema{Type: "string", Pattern: `^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*|@sha256:[0-9a-f]{64})$`}
	s.Properties["id"].Pattern = word.String()
	s.Properties["inputs"] = &jsonschema.Schema{
		Type: "object", Description: s.Properties["inputs"].Description,
		AdditionalProperties: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{source, {Type: "array", Items: source}}},
	}
	s.Properties["params"] = &jsonschema.Schema{Type: "object", Description: s.Properties["params"].Description}
	var docs []string
	for _, name := range catalog.Names() {
		d, ok := catalog.Kind(name)
		if !ok {
			return nil, fmt.Errorf("schema: the catalog names kind %s and does not have it", name)
		}
		s.Properties["kind"].Enum = append(s.Properties["kind"].Enum, name)
		docs = append(docs, name+": "+d.Summary)
		s.AllOf = append(s.AllOf, kindSchema(d))
	}
	s.Properties["kind"].Description += "\n\n" + strings.Join(docs, "\n")
	tidy(s)
	return s, nil
}

// kindSchema says what a stage of one kind may have.
func kindSchema(d stage.Descriptor) *jsonschema.Schema {
	inputs := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	then := &jsonschema.Schema{Properties: map[string]*jsonschema.Schema{
		"params": ref(paramsDef(d.Name)), "inputs": inputs,
	}}
	for _, p := range d.Inputs {
		doc := strings.TrimSpace(fmt.Sprintf("Takes %s. %s", typeName(p.Type), p.Doc))
		port := &jsonschema.Schema{Description: doc}
		if !p.Many {
			port.MaxItems = new(1)
		}
		inputs.Properties[p.Name] = port
		inputs.PropertyOrder = append(inputs.PropertyOrder, p.Name)
		if !p.Optional {
			inputs.Required = append(inputs.Required, p.Name)
		}
	}
	if len(inputs.Required) > 0 {
		then.Required = []string{"inputs"}
	}
	if d.Map == "" {
		then.Properties["map"] = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	}
	var name any = d.Name
	return &jsonschema.Schema{
		If: &jsonschema.Schema{
			Properties: map[string]*jsonschema.Schema{"kind": {Const: &name}}, Required: []string{"kind"},
		},
		Then: then,
	}
}

// paramsSchema is the schema of a kind's parameters with their defaults.
func paramsSchema(d stage.Descriptor) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{Type: "object"}
	if len(d.Schema) > 0 {
		if err := json.Unmarshal(d.Schema, s); err != nil {
			return nil, err
		}
	}
	s.Title = d.Name
	s.Description = d.Summary
	return s, setDefaults(s, d.Params)
}

// setDefaults writes the values of an object into the schemas of its keys.
func setDefaults(s *jsonschema.Schema, values json.RawMessage) error {
	var object map[string]json.RawMessage
	if len(values) == 0 {
		return nil
	}
	if err := json.Unmarshal(values, &object); err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	for name, p := range s.Properties {
		v, ok := object[name]
		switch {
		case !ok || string(v) == "null":
		case len(p.Properties) > 0:
			if err := setDefaults(p, v); err != nil {
				return err
			}
		default:
			p.Default = v
		}
	}
	return nil
}
