// Package place goes through the files that a source is given: folders with those below them, single files, and prefixes of the store.
package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// ErrNothing says that a place is there, but no file in it that is read.
var ErrNothing = errors.New("there is nothing to read")

// StoreScheme begins places in the store.
const StoreScheme = "store:"

// Places are where files come from.
type Places struct {
	From       []string
	Names      artifact.Names // nil: there is no store
	Extensions []string       // of the files that are read, such as .txt
}

// File is one that is read. It is open until the next one is asked for.
type File struct {
	Name string // as people know it
	io.Reader
	Size int64 // -1: not known
	// Beside opens a file by its path from the folder of this one. It does not lead out of the place.
	Beside func(name string) (io.ReadCloser, error)
}

// Extension returns that of a file that is read, in lower case, "" of one that is not.
func (p Places) Extension(name string) string {
	if ext := strings.ToLower(path.Ext(name)); slices.Contains(p.Extensions, ext) {
		return ext
	}
	return ""
}

// Files yields the files of all places, in the order they are listed; those of a folder in lexical order. Links that lead out of a folder are refused. A file
// that cannot be used is a *sample.Fault, and the next one follows; any other error ends the files.
func (p Places) Files(ctx context.Context) iter.Seq2[*File, error] {
	return func(yield func(*File, error) bool) {
		for _, from := range p.From {
			var more bool
			var err error
			if prefix, ok := strings.CutPrefix(from, StoreScheme); ok {
				more, err = p.store(ctx, prefix, yield)
			} else {
				more, err = p.local(ctx, from, yield)
			}
			if err != nil {
				yield(nil, err)
			}
			if err != nil || !more {
				return
			}
		}
	}
}

// IsFault tells whether an error concerns one file, or what one holds, only. A fatal
// error may have a fault as its cause, so that the type itself counts.
func IsFault(err error) bool {
	_, ok := err.(*sample.Fault) //nolint:errorlint // see above
	return ok
}

type take = func(*File, error) bool

// local reads a folder and those below it, or one file; more is false where the caller wants no more.
func (p Places) local(ctx context.Context, place string, yield take) (more bool, err error) {
	info, err := os.Stat(place)
	if err != nil {
		return false, err
	}
	dir, only := place, ""
	if !info.IsDir() {
		dir, only = filepath.Dir(place), filepath.Base(place)
		if p.Extension(only) == "" {
			return false, fmt.Errorf("%s is neither a folder nor a %s file", place, p.kinds())
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }() // only read from
	found := false
	more = true
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && only != "" && name != ".":
			return fs.SkipDir
		case d.IsDir() || p.Extension(name) == "" || only != "" && name != only:
			return nil
		}
		found = true
		if more = rooted(root, name, yield); !more {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: put %s files into it", ErrNothing, p.kinds())
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", place, err)
	}
	return more, err
}

// kinds are the extensions for people.
func (p Places) kinds() string {
	last := len(p.Extensions) - 1
	if last < 1 {
		return strings.Join(p.Extensions, "")
	}
	return strings.Join(p.Extensions[:last], ", ") + " or " + p.Extensions[last]
}

// rooted opens one file of a folder.
func rooted(root *os.Root, name string, yield take) bool {
	info, err := root.Stat(filepath.FromSlash(name)) // before opening: a pipe would wait for a writer
	switch {
	case err != nil:
		return yield(nil, sample.Faulty(name, sample.ReasonUnreadable, err))
	case !info.Mode().IsRegular():
		return yield(nil, sample.Faulty(name, sample.ReasonLink, nil))
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return yield(nil, sample.Faulty(name, sample.ReasonUnreadable, err))
	}
	defer func() { _ = f.Close() }() // only read from
	return yield(&File{name, f, info.Size(), func(at string) (io.ReadCloser, error) {
		return root.Open(filepath.FromSlash(path.Join(path.Dir(name), at)))
	}}, nil)
}

// store opens every file under a prefix.
func (p Places) store(ctx context.Context, prefix string, yield take) (more bool, err error) {
	place := StoreScheme + prefix
	if p.Names == nil {
		return false, fmt.Errorf("%s: there is no store here", place)
	}
	found := false
	for n, err := range p.Names.List(ctx, prefix) {
		if err != nil {
			return false, fmt.Errorf("list %s: %w", place, err)
		}
		if p.Extension(n.Name) == "" {
			continue
		}
		found = true
		body, _, err := p.Names.Read(ctx, n.Name)
		if err != nil {
			return false, fmt.Errorf("%s: %w", n.Name, err)
		}
		more := yield(&File{n.Name, body, n.Size, func(at string) (io.ReadCloser, error) { return p.named(ctx, n.Name, at) }}, nil)
		if err := body.Close(); err != nil && more {
			return false, fmt.Errorf("%s: %w", n.Name, err)
		}
		if !more {
			return false, nil
		}
	}
	if !found {
		return false, fmt.Errorf("%s: %w: put %s files under it", place, ErrNothing, p.kinds())
	}
	return true, nil
}

// named opens a file of the store by its path from the folder of a name.
func (p Places) named(ctx context.Context, name, at string) (io.ReadCloser, error) {
	at = path.Join(path.Dir(name), at)
	if err := artifact.CheckName(at); err != nil {
		return nil, err
	}
	body, _, err := p.Names.Read(ctx, at)
	return body, err
}
