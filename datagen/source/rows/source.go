// Package rows reads rows for post-training from the files that people have:
// conversations, prompts with completions, preferences, labelled solutions and
// problems, with their images.
//
// A file is a container (.jsonl, .json, .parquet or .yaml) of rows in a format. A
// format is a file of its own and a line in All; where none is given, the first rows
// of each file decide. Nothing that is read is trusted: paths stay in their folder,
// sizes are bounded, and a row that cannot be used is yielded as a *sample.Fault that
// names the file and the line.
//
// Start reading at Open, then format.go.
package rows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/picture"
	"tempera/datagen/source/place"
	"tempera/infra/artifact"
)

// ErrNothing says that a place is there, but no rows in it.
var ErrNothing = place.ErrNothing

// Style is how the texts of rows are written.
type Style string

// The styles: as they are in the files; strings; or messages, for a chat template.
const (
	AsIs  Style = "as_is"
	Plain Style = "plain"
	Chat  Style = "chat"
)

// Params of the source. Zero fields mean the defaults.
type Params struct {
	// From lists where the rows are: folders, files, or store:<prefix> for names in
	// the store.
	From []string
	// Format of the rows, by its name in All; "" finds out from the first rows of each
	// file.
	Format string
	// Fields says which key of a row is which field of an example, for rows in no
	// known format: {"prompt": "question", "completion": "meta.reply"}.
	Fields map[string]string
	Style  Style
	System string // of chats: what the system says first, unless the row has it
	// MaxFile bounds a file, and a line; a larger one is a fault. Default 256 MiB.
	MaxFile int64
	// Images bounds what is taken for an image.
	Images picture.Limits
}

// Env is what the source may need of the machine it runs on.
type Env struct {
	Names   artifact.Names      // for store:<prefix>
	Scratch string              // a folder for what must lie on disk while it is read
	Skipped func(reason string) // is told of rows that say nothing, such as ties; may be nil
}

const defaultMaxFile = 256 << 20

// Validate reports every fault. It does not look whether the places are there.
func (p Params) Validate() error {
	var faults []error
	if len(p.From) == 0 {
		faults = append(faults, fmt.Errorf("from is empty: name folders, %s files, or store:<prefix>", strings.Join(extensions(), ", ")))
	}
	for _, f := range p.From {
		if scheme, _, ok := strings.Cut(f, "://"); f == "" || ok {
			faults = append(faults, fmt.Errorf("from has %q (scheme %q): use a path, or store:<prefix>", f, scheme))
		}
	}
	if _, ok := find(p.Format); !ok && p.Format != "" {
		faults = append(faults, fmt.Errorf("format is %q: use %s, or leave it out", p.Format, strings.Join(names(), ", ")))
	}
	if p.Format != "" && p.Format != fieldsName && len(p.Fields) > 0 {
		faults = append(faults, fmt.Errorf("fields are given and format is %s: fields are for rows of no known format, leave one of the two out", p.Format))
	}
	if p.Format == fieldsName && len(p.Fields) == 0 {
		faults = append(faults, errors.New("format is fields and fields are not given: say which key is which field"))
	}
	faults = append(faults, checkFields(p.Fields)...)
	if !slices.Contains([]Style{"", AsIs, Plain, Chat}, p.Style) {
		faults = append(faults, fmt.Errorf("style is %q: use %s, %s or %s", p.Style, AsIs, Plain, Chat))
	}
	if p.System != "" && p.Style != Chat {
		faults = append(faults, errors.New("system is given and style is not chat: only chats have a system"))
	}
	return errors.Join(faults...)
}

// Open returns the rows, and what is to be said of them.
func Open(ctx context.Context, env Env, p Params) (example.Stream, example.Meta, error) {
	if err := p.Validate(); err != nil {
		return nil, example.Meta{}, err
	}
	if p.MaxFile == 0 {
		p.MaxFile = defaultMaxFile
	}
	if env.Skipped == nil {
		env.Skipped = func(string) {}
	}
	r := &reader{env: env, params: p}
	return r.all(ctx), example.Meta{Title: "Rows of " + strings.Join(p.From, ", ")}, nil
}
