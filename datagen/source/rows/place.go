package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/sample"
	"tempera/datagen/source/place"
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
		places := place.Places{From: r.params.From, Names: r.env.Names, Extensions: extensions()}
		for f, err := range places.Files(ctx) {
			more := false
			switch {
			case err == nil:
				more = r.file(ctx, &file{f.Name, f.Reader, f.Size, func(at string) ([]byte, error) { return r.beside(f, at) }}, yield)
			case place.IsFault(err):
				more = yield(nil, err)
			default:
				fail(yield, err)
			}
			if !more {
				return
			}
		}
	}
}

// beside reads an image by its path from the folder of a file.
func (r *reader) beside(f *place.File, at string) ([]byte, error) {
	body, err := f.Beside(at)
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
		case err != nil && place.IsFault(err):
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
