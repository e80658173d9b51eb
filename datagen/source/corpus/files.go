package corpus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"tempera/datagen/document"
	"tempera/datagen/sample"
	"tempera/datagen/source/place"
	"tempera/infra/artifact"
)

// ErrNothing says that a place is there, but no documents in it.
var ErrNothing = place.ErrNothing

const defaultMaxFile = 256 << 20

// reader goes through places; its methods return false where the caller wants
// no more, or after an error.
type reader struct {
	places place.Places
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
	return &reader{place.Places{From: p.From, Names: names, Extensions: []string{".txt", ".md", ".jsonl"}}, p}
}

// documents yields the documents of all places, in the order they are listed.
func (r *reader) documents(ctx context.Context) document.Stream {
	return func(yield func(document.Document, error) bool) {
		for f, err := range r.places.Files(ctx) {
			more := false
			switch {
			case err == nil:
				more = r.file(f.Name, f, yield)
			case place.IsFault(err):
				more = yield(document.Document{}, err)
			default:
				fail(yield, fmt.Errorf("documents: %w", err))
			}
			if !more {
				return
			}
		}
	}
}

// file reads the documents of one file.
func (r *reader) file(name string, from io.Reader, yield take) bool {
	if r.places.Extension(name) == ".jsonl" {
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
