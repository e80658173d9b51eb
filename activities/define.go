package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// ParamsError holds every fault of a kind's parameters.
type ParamsError struct {
	Kind  string
	Found []string
}

func (e *ParamsError) Error() string {
	return fmt.Sprintf("parameters of %s: %s", e.Kind, strings.Join(e.Found, "; "))
}

// Faults lists the faults; the checks of a spec show each on a line of its own.
func (e *ParamsError) Faults() []string { return e.Found }

// definition is a kind whose parameters are the struct P.
type definition[P any] struct {
	descriptor stage.Descriptor
	defaults   P
	run        func(context.Context, *Task, P) error
}

// define makes a kind of a descriptor, the default parameters, and its work. P
// is a struct whose fields carry json and doc tags, and the range tags of
// stage.SchemaFor; a method Validate() error reports what no tag can say.
func define[P any](d stage.Descriptor, defaults P, run func(context.Context, *Task, P) error) Kind {
	raw, err := json.Marshal(defaults)
	if err != nil {
		panic(fmt.Sprintf("defaults of kind %s: %v", d.Name, err))
	}
	d.Params, d.Schema = raw, stage.SchemaFor[P]()
	return &definition[P]{descriptor: d, defaults: defaults, run: run}
}

func (d *definition[P]) Describe() stage.Descriptor { return d.descriptor }

func (d *definition[P]) Check(params []byte) ([]byte, error) {
	p, err := d.decode(params)
	if err != nil {
		return nil, err
	}
	return json.Marshal(p)
}

func (d *definition[P]) Run(ctx context.Context, t *Task) error {
	p, err := d.decode(t.Params)
	if err != nil {
		return err
	}
	return d.run(ctx, t, p)
}

func (d *definition[P]) decode(params []byte) (P, error) {
	p, faults := dag.DecodeParams(d.defaults, params)
	if on, ok := any(p).(interface{ deviceFault() error }); ok {
		if err := on.deviceFault(); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) > 0 {
		return p, &ParamsError{d.descriptor.Name, faults}
	}
	return p, nil
}
