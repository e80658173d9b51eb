package corpus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"tempera/datagen/document"
	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// ErrNothing says that a place is there, but no documents in it.
var ErrNothing = errors.New("there is nothing to read")

const (
	defaultMaxFile = 256 << 20
	storeScheme    = "store:"
)

// reader goes through places; its methods return false where the caller wants
// no more, or after an error.
type reader struct {
	names  artifact.Names
	params Params
}

type take = func(document.Document, error) bool

// fail ends a stream with an error.
func fail(yield take, err error) bool {
	yield(document.Document{}, err)
	return false
}

func newReader(names artifact.Names, p Params) *reader {
	if p.TextKey == "" {
		p.TextKey = "text"
	}
	if p.MaxFile == 0 {
		p.MaxFile = defaultMaxFile
	}
	return &reader{names: names, params: p}
}

// documents yields the documents of all places, in the order they are listed.
func (r *reader) documents(ctx context.Context) document.Stream {
	return func(yield func(document.Document, error) bool) {
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

// kindOf returns the extension of a file that is read, "" of one that is not.
func kindOf(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".txt", ".md", ".jsonl":
		return ext
	}
	return ""
}

// local reads a folder and those below it, in lexical order, or one file. Links
// that lead out of the folder are refused.
func (r *reader) local(ctx context.Context, place string, yield take) bool {
	info, err := os.Stat(place)
	if err != nil {
		return fail(yield, fmt.Errorf("documents: %w", err))
	}
	dir, only := place, ""
	if !info.IsDir() {
		dir, only = filepath.Dir(place), filepath.Base(place)
		if kindOf(only) == "" {
			return fail(yield, fmt.Errorf("documents: %s is neither a folder nor a .txt, .md or .jsonl file", place))
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(yield, fmt.Errorf("documents: %w", err))
	}
	defer func() { _ = root.Close() }()
	more, found := true, false
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && only != "" && name != ".":
			return fs.SkipDir
		case d.IsDir() || kindOf(name) == "" || only != "" && name != only:
			return nil
		}
		found = true
		if more = r.rooted(root, name, yield); !more {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: put .txt, .md or .jsonl files into it", ErrNothing)
	}
	if err != nil {
		return fail(yield, fmt.Errorf("documents: %s: %w", place, err))
	}
	return more
}

// rooted reads one file of a folder. A file that cannot be used is a fault.
func (r *reader) rooted(root *os.Root, name string, yield take) bool {
	info, err := root.Stat(filepath.FromSlash(name)) // before opening: a pipe would wait for a writer
	switch {
	case err != nil:
		return yield(document.Document{}, sample.Faulty(name, sample.ReasonUnreadable, err))
	case !info.Mode().IsRegular():
		return yield(document.Document{}, sample.Faulty(name, sample.ReasonLink, nil))
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return yield(document.Document{}, sample.Faulty(name, sample.ReasonUnreadable, err))
	}
	defer func() { _ = f.Close() }() // only read from
	return r.file(name, f, yield)
}

// store reads every document file under a prefix.
func (r *reader) store(ctx context.Context, prefix string, yield take) bool {
	place := storeScheme + prefix
	if r.names == nil {
		return fail(yield, fmt.Errorf("documents: %s: there is no store here", place))
	}
	found := false
	for n, err := range r.names.List(ctx, prefix) {
		if err != nil {
			return fail(yield, fmt.Errorf("documents: list %s: %w", place, err))
		}
		if kindOf(n.Name) == "" {
			continue
		}
		found = true
		body, _, err := r.names.Read(ctx, n.Name)
		if err != nil {
			return fail(yield, fmt.Errorf("documents: %s: %w", n.Name, err))
		}
		more := r.file(n.Name, body, yield)
		if err := body.Close(); err != nil && more {
			return fail(yield, fmt.Errorf("documents: %s: %w", n.Name, err))
		}
		if !more {
			return false
		}
	}
	if !found {
		return fail(yield, fmt.Errorf("documents: %s: %w: put .txt, .md or .jsonl files under it", place, ErrNothing))
	}
	return true
}

// file reads the documents of one file.
func (r *reader) file(name string, from io.Reader, yield take) bool {
	if kindOf(name) == ".jsonl" {
		return r.lines(name, from, yield)
	}
	data, err := io.ReadAll(io.LimitReader(from, r.params.MaxFile+1))
	if err != nil {
		return fail(yield, fmt.Errorf("documents: read %s: %w", name, err))
	}
	if int64(len(data)) > r.params.MaxFile {
		return yield(document.Document{}, sample.Faulty(name, sample.ReasonSize, fmt.Errorf("more than %d bytes", r.params.MaxFile)))
	}
	if reason := unfit(data); reason != "" {
		return yield(document.Document{}, sample.Faulty(name, reason, nil))
	}
	for i, part := range Cut(string(data), r.params.Cut) {
		d := document.Document{ID: name, Text: part, Source: Files}
		if r.params.Cut > 0 {
			d.ID = fmt.Sprintf("%s#%d", name, i)
		}
		if !yield(d, nil) {
			return false
		}
	}
	return true
}

// The reasons of faults beside those of package sample.
const (
	reasonEmpty  = "no text"
	reasonBinary = "not UTF-8 text"
	reasonKey    = "no text under the key"
)

// unfit says why bytes are no document; "" where they are one.
func unfit(data []byte) string {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return reasonEmpty
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return reasonBinary
	}
	return ""
}

// lines reads a JSON Lines file, a document a line.
func (r *reader) lines(name string, from io.Reader, yield take) bool {
	scan := bufio.NewScanner(from)
	scan.Buffer(make([]byte, 64<<10), int(r.params.MaxFile))
	for n := 1; scan.Scan(); n++ {
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		d, fault := r.line(fmt.Sprintf("%s#%d", name, n), scan.Bytes())
		var err error
		if fault != nil {
			err = fault
		}
		if !yield(d, err) {
			return false
		}
	}
	if err := scan.Err(); err != nil {
		return fail(yield, fmt.Errorf("documents: read %s: %w", name, err))
	}
	return true
}

func (r *reader) line(item string, data []byte) (document.Document, *sample.Fault) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return document.Document{}, sample.Faulty(item, sample.ReasonFacts, err)
	}
	var text, id string
	if err := json.Unmarshal(object[r.params.TextKey], &text); err != nil {
		return document.Document{}, sample.Faulty(item, reasonKey, fmt.Errorf("%q: give text_key the key that your lines have", r.params.TextKey))
	}
	if reason := unfit([]byte(text)); reason != "" {
		return document.Document{}, sample.Faulty(item, reason, nil)
	}
	if json.Unmarshal(object["id"], &id) != nil || id == "" {
		id = item
	}
	return document.Document{ID: id, Text: text, Source: Files}, nil
}
