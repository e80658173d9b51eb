// Package source lists where data sets come from. A source is a package of its
// own below this one, and one line in All.
package source

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"tempera/datagen/sample"
	"tempera/datagen/source/emoji"
	"tempera/datagen/source/scenes"
	"tempera/datagen/source/webdataset"
	"tempera/infra/artifact"
)

// Source yields the samples of one data set in a fixed order.
//
// Samples may be called again to restart; the same seed gives the same order.
// An error ends the iteration, except a *sample.Fault, which concerns one item.
// Implementations must not retain ctx.
type Source interface {
	Name() string
	Samples(ctx context.Context, seed uint64) iter.Seq2[sample.Sample, error]
}

// Env is what sources may need of the machine they run on.
type Env struct {
	Data     string // folder for what is downloaded once
	Store    artifact.Store
	Progress func(string) // lines for people; may be nil
}

// Request is what every source is asked.
type Request struct {
	Params json.RawMessage // of the source; empty means all defaults
	Count  int             // samples wanted; 0 means all, of generated ones DefaultCount
	Split  string          // splits with different names share no random numbers
	Unique bool            // no two pictures that the same caption describes
}

// DefaultCount is how many samples a source generates that is not told.
const DefaultCount = 1000

// Kind is one kind of source.
type Kind struct {
	Name    string
	Summary string
	License []string // SPDX identifiers
	Credits []string
	// Check reports every fault of parameters.
	Check func(params json.RawMessage) error
	Open  func(ctx context.Context, env Env, req Request) (Source, error)
}

// All lists the sources.
func All() []Kind {
	return []Kind{scenesKind(), emojiKind(), webdatasetKind()}
}

// Find returns the source of a name, or an error that lists what there is.
func Find(name string) (Kind, error) {
	var names []string
	for _, k := range All() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("there is no source %q: use %s", name, strings.Join(names, ", "))
}

// decode is strict: unknown keys are faults.
func decode(params json.RawMessage, into any) error {
	if len(bytes.TrimSpace(params)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(params))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var shape *json.UnmarshalTypeError
	if errors.As(err, &shape) {
		return fmt.Errorf("params: %s is a %s: it takes %s", shape.Field, shape.Value, wanted(shape.Type))
	}
	if err != nil {
		return fmt.Errorf("params: %s: it takes %s", strings.TrimPrefix(err.Error(), "json: "), strings.Join(keys(into), ", "))
	}
	return nil
}

// wanted says in words what a field takes.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list, such as [...]"
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	default:
		return "a whole number"
	}
}

// keys lists the parameters of a struct.
func keys(params any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(params).Elem()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

func scenesKind() Kind {
	return Kind{
		Name: scenes.Name, Summary: "generated pictures of coloured shapes, with a known truth",
		License: []string{"CC0-1.0"},
		Check: func(params json.RawMessage) error {
			var p scenes.Params
			if err := decode(params, &p); err != nil {
				return err
			}
			return p.WithDefaults().Validate()
		},
		Open: func(_ context.Context, _ Env, req Request) (Source, error) {
			s := &scenes.Source{Split: req.Split, Count: cmp.Or(req.Count, DefaultCount)}
			err := decode(req.Params, &s.Params)
			s.Params.Unique = s.Params.Unique || req.Unique
			return s, err
		},
	}
}

func emojiKind() Kind {
	return Kind{
		Name: emoji.Name, Summary: "collages of real emoji drawings, with a known truth",
		License: []string{"Apache-2.0", "CC-BY-4.0", "MIT"},
		Credits: []string{
			"Noto Emoji, Google, Apache-2.0", "Twemoji, Twitter and other contributors, CC-BY-4.0",
			"emoji-data, Cal Henderson, MIT", "emojilib, Mu-An Chiou, MIT",
		},
		Check: func(params json.RawMessage) error {
			var p emoji.Params
			if err := decode(params, &p); err != nil {
				return err
			}
			return p.WithDefaults().Validate()
		},
		Open: func(ctx context.Context, env Env, req Request) (Source, error) {
			var p emoji.Params
			if err := decode(req.Params, &p); err != nil {
				return nil, err
			}
			p.Unique = p.Unique || req.Unique
			if err := emoji.Install(ctx, env.Data, env.Progress); err != nil {
				return nil, err
			}
			s, err := emoji.Open(env.Data, p)
			if err != nil {
				return nil, err
			}
			s.Split, s.Count = req.Split, req.Count
			if p.Mode != "single" { // single emoji are as many as there are
				s.Count = cmp.Or(req.Count, DefaultCount)
			}
			return s, nil
		},
	}
}

func webdatasetKind() Kind {
	return Kind{
		Name: webdataset.Name, Summary: "your own pairs: tar shards, folders of images with text files, JSON Lines",
		Check: func(params json.RawMessage) error {
			var p webdataset.Params
			if err := decode(params, &p); err != nil {
				return err
			}
			return p.WithDefaults().Validate()
		},
		Open: func(_ context.Context, env Env, req Request) (Source, error) {
			s := &webdataset.Source{Names: env.Store, Count: req.Count}
			return s, decode(req.Params, &s.Params)
		},
	}
}
