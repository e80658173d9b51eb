package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// reader goes through places; its methods return false where the caller wants no
// more, or after an error.
type reader struct {
	env    Env
	params Params
}

type take = func(*example.Example, error) bool

// fail ends a stream with an error.
func fail(yield take, err error) bool {
	yield(nil, fmt.Errorf("rows: %w", err))
	return false
}

// file is one that holds rows.
type file struct {
	name string // as people know it
	io.Reader
	size   int64                             // -1: not known
	beside func(name string) ([]byte, error) // reads a file by its path from the folder of this one
}

// extensions lists what is read.
func extensions() []string { return []string{".jsonl", ".json", ".parquet", ".yaml", ".yml"} }

// extension returns that of a file that is read, "" of one that is not.
func extension(name string) string {
	if ext := strings.ToLower(path.Ext(name)); slices.Contains(extensions(), ext) {
		return ext
	}
	return ""
}

// all yields the rows of all places, in the order they are listed.
func (r *reader) all(ctx context.Context) example.Stream {
	return func(yield func(*example.Example, error) bool) {
		for _, from := range r.params.From {
			var more bool
			if prefix, ok := strings.CutPrefix(from, storeScheme); ok {
				more = r.store(ctx, prefix, yield)
			} else {
				more = r.local(ctx, from, yield)
			}
			if !more {
				return
			}
		}
	}
}

// local reads a folder and those below it, in lexical order, or one file. Links
// that lead out of the folder are refused.
func (r *reader) local(ctx context.Context, place string, yield take) bool {
	info, err := os.Stat(place)
	if err != nil {
		return fail(yield, err)
	}
	dir, only := place, ""
	if !info.IsDir() {
		dir, only = filepath.Dir(place), filepath.Base(place)
		if extension(only) == "" {
			return fail(yield, fmt.Errorf("%s is neither a folder nor a %s file", place, strings.Join(extensions(), ", ")))
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(yield, err)
	}
	defer func() { _ = root.Close() }() // only read from
	more, found := true, false
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && only != "" && name != ".":
			return fs.SkipDir
		case d.IsDir() || extension(name) == "" || only != "" && name != only:
			return nil
		}
		found = true
		if more = r.rooted(ctx, root, name, yield); !more {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: put %s files into it", ErrNothing, strings.Join(extensions(), ", "))
	}
	if err != nil {
		return fail(yield, fmt.Errorf("%s: %w", place, err))
	}
	return more
}

// rooted reads one file of a folder.
func (r *reader) rooted(ctx context.Context, root *os.Root, name string, yield take) bool {
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
	return r.file(ctx, &file{name, f, info.Size(), func(at string) ([]byte, error) {
		f, err := root.Open(filepath.FromSlash(path.Join(path.Dir(name), at)))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // only read from
		return r.image(f)
	}}, yield)
}

// store reads every file of rows under a prefix.
func (r *reader) store(ctx context.Context, prefix string, yield take) bool {
	place := storeScheme + prefix
	if r.env.Names == nil {
		return fail(yield, fmt.Errorf("%s: there is no store here", place))
	}
	found := false
	for n, err := range r.env.Names.List(ctx, prefix) {
		if err != nil {
			return fail(yield, fmt.Errorf("list %s: %w", place, err))
		}
		if extension(n.Name) == "" {
			continue
		}
		found = true
		body, _, err := r.env.Names.Read(ctx, n.Name)
		if err != nil {
			return fail(yield, fmt.Errorf("%s: %w", n.Name, err))
		}
		more := r.file(ctx, &file{n.Name, body, n.Size, func(at string) ([]byte, error) { return r.named(ctx, n.Name, at) }}, yield)
		if err := body.Close(); err != nil && more {
			return fail(yield, fmt.Errorf("%s: %w", n.Name, err))
		}
		if !more {
			return false
		}
	}
	if !found {
		return fail(yield, fmt.Errorf("%s: %w: put %s files under it", place, ErrNothing, strings.Join(extensions(), ", ")))
	}
	return true
}

// named reads an image of the store, by its path from the folder of a name.
func (r *reader) named(ctx context.Context, name, at string) ([]byte, error) {
	at = path.Join(path.Dir(name), at)
	if err := artifact.CheckName(at); err != nil {
		return nil, err
	}
	body, _, err := r.env.Names.Read(ctx, at)
	if err != nil {
		return nil, err
	}
	data, err := r.image(body)
	return data, errors.Join(err, body.Close())
}

// image reads the bytes of one, no more than it may have and one.
func (r *reader) image(from io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(from, r.params.Images.WithDefaults().MaxBytes+1))
}

// file reads the rows of one file.
func (r *reader) file(ctx context.Context, f *file, yield take) bool {
	if f.size > r.params.MaxFile {
		return yield(nil, sample.Faulty(f.name, sample.ReasonSize, fmt.Errorf("%d bytes, the limit is %d", f.size, r.params.MaxFile)))
	}
	var first []*record // those that the format is found from
	format, known := r.format()
	read := func(rec *record) bool { return r.row(format, rec, yield) }
	more := r.records(f, func(rec *record, err error) bool {
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case err != nil && isFault(err):
			return yield(nil, err)
		case err != nil:
			return fail(yield, err)
		case known:
			return read(rec)
		}
		if first = append(first, rec); len(first) < tasted {
			return true
		}
		format, known = detect(first)
		for _, rec := range first {
			if !read(rec) {
				return false
			}
		}
		first = nil
		return true
	})
	if !more || len(first) == 0 {
		return more
	}
	format, _ = detect(first)
	for _, rec := range first {
		if !read(rec) {
			return false
		}
	}
	return true
}

// isFault tells whether an error concerns one row only. A fatal error may have a
// fault as its cause, so that the type itself counts.
func isFault(err error) bool {
	_, ok := err.(*sample.Fault) //nolint:errorlint // see above
	return ok
}

// row makes the examples of a row.
func (r *reader) row(f Format, rec *record, yield take) bool {
	made, err := f.read(rec)
	var skip skipError
	switch {
	case errors.As(err, &skip):
		r.env.Skipped(string(skip))
		return true
	case err != nil:
		return yield(nil, rec.fault(err))
	}
	for i, e := range made {
		if e.ID == "" {
			e.ID = rec.where
			if len(made) > 1 {
				e.ID = fmt.Sprintf("%s.%d", rec.where, i)
			}
		}
		e.Source = rec.where
		if err := r.finish(rec, e); err != nil {
			return yield(nil, rec.fault(err))
		}
		if !yield(e, nil) {
			return false
		}
	}
	return true
}
