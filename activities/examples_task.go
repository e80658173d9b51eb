package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tempera/datagen/example"
	"tempera/datagen/task"
)

// taskRows are the tasks that make problems.
func taskRows() []exampleSource {
	var all []exampleSource
	for _, k := range task.All() {
		if k.Generated() {
			all = append(all, taskSource(k))
		}
	}
	return all
}

func taskSource(k task.Task) exampleSource {
	open := func(p examplesParams) (*task.Generator, error) {
		raw, err := json.Marshal(p.Params)
		if err != nil {
			return nil, err
		}
		if p.Params == nil {
			raw = nil
		}
		return k.Open(raw)
	}
	return exampleSource{
		name: k.Name,
		check: func(p examplesParams) error {
			_, err := open(p)
			faults := []error{err}
			if p.Count == 0 {
				faults = append(faults, fmt.Errorf("count is 0: say how many rows task %s should make", k.Name))
			}
			if len(p.From) > 0 || p.Format != "" || len(p.Fields) > 0 || p.System != "" {
				faults = append(faults, fmt.Errorf("from, format, fields and system are of files, and source is %s: use source: files to read your own rows", k.Name))
			}
			return errors.Join(faults...)
		},
		open: func(ctx context.Context, _ *Task, p examplesParams, _ func(string)) (example.Stream, example.Meta, error) {
			g, err := open(p)
			if err != nil {
				return nil, example.Meta{}, Invalid(err)
			}
			return made(ctx, g, p), example.Meta{Title: "Problems of task " + k.Name + ": " + k.Summary}, nil
		},
	}
}

// made yields problem after problem, without an end: as many are taken as are wanted.
// There may be fewer where the task has no more, or where duplicates are left out of
// a task that has few.
func made(ctx context.Context, g *task.Generator, p examplesParams) example.Stream {
	return func(yield func(*example.Example, error) bool) {
		for i := range 64*p.Count + 1024 {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			e, err := g.Generate(p.Seed, i)
			if err != nil {
				yield(nil, Invalid(err))
				return
			}
			if p.Rows == "demonstrations" {
				e = task.Demonstrate(e)
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}
