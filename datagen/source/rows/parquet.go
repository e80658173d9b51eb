package rows

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"tempera/datagen/sample"
)

// parquet reads a Parquet file, row by row. Rows are counted as lines are, from 1.
func (r *reader) parquet(f *file, yield takeRecord) (more bool) {
	at, size, free, err := r.seekable(f)
	if err != nil {
		return yield(nil, fmt.Errorf("read %s: %w", f.name, err))
	}
	defer free()
	rows, err := openParquet(at, size)
	if err != nil {
		return yield(nil, sample.Faulty(f.name, sample.ReasonUnreadable, err))
	}
	defer func() { _ = rows.close() }() // only read from
	for n := 1; ; n++ {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		where := fmt.Sprintf("%s#%d", f.name, n)
		if err != nil { // what follows cannot be told apart any more
			return yield(nil, sample.Faulty(where, sample.ReasonUnreadable, err))
		}
		raw, err := json.Marshal(row)
		if err != nil {
			if !yield(nil, sample.Faulty(where, reasonJSON, err)) {
				return false
			}
			continue
		}
		if !yield(newRecord(f, n, raw)) {
			return false
		}
	}
}

// seekable makes a file of a stream, on disk where it is none. Free removes it.
func (r *reader) seekable(f *file) (at io.ReaderAt, size int64, free func(), err error) {
	if at, ok := f.Reader.(io.ReaderAt); ok {
		return at, f.size, func() {}, nil
	}
	copied, err := os.CreateTemp(r.env.Scratch, "rows-*.parquet")
	if err != nil {
		return nil, 0, nil, err
	}
	free = func() {
		_ = copied.Close()           // only read from
		_ = os.Remove(copied.Name()) // the scratch folder goes as a whole
	}
	if size, err = io.Copy(copied, io.LimitReader(f, r.params.MaxFile+1)); err != nil {
		free()
		return nil, 0, nil, err
	}
	return copied, size, free, nil
}

// openParquet reads the footer; a panic of the library is an error: the file is from
// a stranger.
func openParquet(at io.ReaderAt, size int64) (_ *parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(at, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(at, size)
	if err != nil {
		return nil, err
	}
	for _, group := range f.Metadata().RowGroups {
		for _, c := range group.Columns {
			if c.MetaData.Codec == format.Lz4Raw || c.MetaData.Codec == format.Lz4 { // the library does not return from broken blocks
				return nil, errors.New("it is compressed by LZ4: write it with zstd, snappy or gzip")
			}
		}
	}
	return &parquetRows{schema: f.Schema(), groups: f.RowGroups()}, nil
}

// checkFooter holds the length of the footer, which is allocated as a whole, against
// the size of the file.
func checkFooter(at io.ReaderAt, size int64) error {
	var end [8]byte
	if size < 12 {
		return errors.New("it is too short for a Parquet file")
	}
	if _, err := at.ReadAt(end[:], size-8); err != nil {
		return err
	}
	if string(end[4:]) != "PAR1" {
		return errors.New("it does not end as a Parquet file")
	}
	if n := int64(binary.LittleEndian.Uint32(end[:])); n > size-12 {
		return fmt.Errorf("its footer has %d bytes, the file %d", n, size)
	}
	return nil
}

// parquetRows goes through the rows of a file, group after group.
type parquetRows struct {
	schema *parquet.Schema
	groups []parquet.RowGroup // that are not open yet
	rows   parquet.Rows       // of the open one; nil without
}

// next returns the next row, io.EOF after the last.
func (p *parquetRows) next() (_ any, err error) {
	defer recovered(&err)
	for {
		if p.rows == nil {
			if len(p.groups) == 0 {
				return nil, io.EOF
			}
			p.rows, p.groups = p.groups[0].Rows(), p.groups[1:]
		}
		var read [1]parquet.Row
		n, err := p.rows.ReadRows(read[:])
		if n == 1 {
			row := map[string]any{}
			if err := p.schema.Reconstruct(&row, read[0]); err != nil {
				return nil, err
			}
			return jsonable(row), nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, p.close())
		}
		if err := p.close(); err != nil {
			return nil, err
		}
	}
}

func (p *parquetRows) close() (err error) {
	defer recovered(&err)
	if p.rows != nil {
		err = p.rows.Close()
		p.rows = nil
	}
	return err
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is broken: %v", p)
	}
}

// jsonable makes data URIs of bytes that are no text.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			if s, ok := item.(string); ok && k == bytesKey {
				v[k] = dataURI([]byte(s))
				continue
			}
			v[k] = jsonable(item)
		}
	case []any:
		for i, item := range v {
			v[i] = jsonable(item)
		}
	case []byte:
		return jsonable(string(v))
	case string:
		if !utf8.ValidString(v) {
			return dataURI([]byte(v))
		}
	}
	return v
}

func dataURI(data []byte) string {
	return "data:application/octet-stream;base64," + base64.StdEncoding.EncodeToString(data)
}
