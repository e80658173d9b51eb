package dag

import (
	"encoding/json"
	"errors"
	"reflect"
)

// RunFile asks for a named workflow instead of a spec.
type RunFile struct {
	Workflow string          `json:"workflow" doc:"The name of a workflow, e.g. CaptionBootstrap."`
	Params   json.RawMessage `json:"params,omitempty" doc:"What the workflow takes; left out, it is {}."`
}

// File is what a file of runs/ holds: exactly one of the two is set.
type File struct {
	Spec *Spec
	Run  *RunFile
}

// Parse reads a spec from YAML or JSON. It fails with a *CheckError that holds
// every unknown key and wrong type with its line. What the spec means is Check's.
func Parse(data []byte) (*Spec, error) {
	t, err := readTree(data)
	if err != nil {
		return nil, syntaxError(err)
	}
	return decodeSpec(t)
}

// ParseFile reads a spec, or the name of a workflow with its parameters.
func ParseFile(data []byte) (File, error) {
	t, err := readTree(data)
	if err != nil {
		return File{}, syntaxError(err)
	}
	if t.find("workflow") == nil {
		spec, err := decodeSpec(t)
		return File{Spec: spec}, err
	}
	var run RunFile
	var d decoder
	d.decode(t, reflect.ValueOf(&run).Elem(), "")
	if run.Workflow == "" && len(d.faults) == 0 {
		d.fault(CheckWrongType, t.line, "workflow: name one, e.g. CaptionBootstrap, or write stages instead")
	}
	if p := t.find("params"); p != nil && p.shape != object && p.shape != null {
		d.fault(CheckWrongType, p.line, "params: want a mapping, have %s", p)
	}
	if err := d.faults.err(""); err != nil {
		return File{}, err
	}
	return File{Run: &run}, nil
}

func decodeSpec(t *tree) (*Spec, error) {
	var d decoder
	var spec Spec
	if t.shape == null {
		d.fault(CheckSyntax, t.line, "there is nothing here: write a name and stages")
		return nil, d.faults.err("")
	}
	d.decode(t, reflect.ValueOf(&spec).Elem(), "")
	if err := d.faults.err(spec.Name); err != nil {
		return nil, err
	}
	return &spec, nil
}

func syntaxError(err error) error {
	f := Fault{Check: CheckSyntax, Message: err.Error()}
	var at lineError
	if errors.As(err, &at) {
		f.Line, f.Message = at.line, at.message
	}
	return &CheckError{Faults: []Fault{f}}
}
