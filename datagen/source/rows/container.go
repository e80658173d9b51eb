package rows

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"

	"tempera/datagen/sample"
)

// takeRecord gets the rows of a file, or what is wrong with one: a *sample.Fault; any
// other error ends the file. It returns false where no more are wanted.
type takeRecord = func(*record, error) bool

// records reads the rows of a file.
func (r *reader) records(f *file, yield takeRecord) bool {
	switch extension(f.name) {
	case ".jsonl":
		return r.lines(f, f, yield)
	case ".json":
		return r.json(f, yield)
	case ".parquet":
		return r.parquet(f, yield)
	}
	return r.yaml(f, yield)
}

// newRecord makes the row of a line of JSON.
func newRecord(f *file, line int, raw []byte) (*record, error) {
	rec := &record{where: fmt.Sprintf("%s#%d", f.name, line), file: f}
	if err := json.Unmarshal(raw, &rec.fields); err != nil || rec.fields == nil {
		if err == nil {
			err = errors.New("null is no row")
		}
		return nil, sample.Faulty(rec.where, reasonJSON, err)
	}
	return rec, nil
}

// lines reads JSON Lines.
func (r *reader) lines(f *file, from io.Reader, yield takeRecord) bool {
	scan := bufio.NewScanner(from)
	scan.Buffer(make([]byte, 64<<10), int(r.params.MaxFile))
	for n := 1; scan.Scan(); n++ {
		line := bytes.TrimSpace(scan.Bytes())
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) == 0 {
			continue
		}
		if !yield(newRecord(f, n, line)) {
			return false
		}
	}
	if err := scan.Err(); err != nil {
		return yield(nil, fmt.Errorf("read %s: %w", f.name, err))
	}
	return true
}

// json reads an array of rows. Files that are JSON Lines in truth are common under
// this name, and read as such.
func (r *reader) json(f *file, yield takeRecord) bool {
	in := bufio.NewReaderSize(f, 64<<10)
	head, err := in.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return yield(nil, fmt.Errorf("read %s: %w", f.name, err))
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(head) > 0 && head[0] != '[' {
		return r.lines(f, in, yield)
	}
	if bom, _ := in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3) // it is buffered
	}
	at := &lineCounter{from: io.LimitReader(in, r.params.MaxFile+1)}
	d := json.NewDecoder(at)
	if _, err := d.Token(); err != nil {
		return yield(nil, sample.Faulty(f.name, reasonJSON, err))
	}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			// What follows cannot be told apart any more.
			where := d.InputOffset()
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				where = syntax.Offset
			}
			return yield(nil, sample.Faulty(fmt.Sprintf("%s#%d", f.name, at.line(where)), reasonJSON, err))
		}
		if !yield(newRecord(f, at.line(d.InputOffset()-int64(len(raw))), raw)) {
			return false
		}
	}
	if _, err := d.Token(); err != nil {
		return yield(nil, sample.Faulty(f.name, reasonJSON, fmt.Errorf("the array does not end: %w", err)))
	}
	return true
}

// lineCounter knows on which line of what was read a byte is.
type lineCounter struct {
	from io.Reader
	read int64
	ends []int64 // where lines end
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	return n, err
}

// line counts from 1.
func (l *lineCounter) line(offset int64) int {
	return 1 + sort.Search(len(l.ends), func(i int) bool { return l.ends[i] >= offset })
}
