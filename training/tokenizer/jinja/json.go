package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// FromJSON makes a value of JSON; dictionaries keep the order of their keys. Whole
// numbers are int64, others float64.
func FromJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readJSON(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the value")
	}
	return v, nil
}

func readJSON(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		return t.Float64()
	case json.Delim:
		if t == '[' {
			return readItems(d)
		}
		return readPairs(d)
	}
	return t, nil // nil, bool or string
}

func readItems(d *json.Decoder) (any, error) {
	l := &List{}
	for d.More() {
		v, err := readJSON(d)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	_, err := d.Token()
	return l, err
}

func readPairs(d *json.Decoder) (any, error) {
	dict := NewDict()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := readJSON(d)
		if err != nil {
			return nil, err
		}
		dict.Set(key, v)
	}
	_, err := d.Token()
	return dict, err
}

// layout is how JSON is written: as Python's json.dumps does it.
type layout struct {
	indent     string // of a level; "": on one line
	item, pair string // what is after an item, and after a key
}

// filterJSON is tojson as transformers defines it: nothing is escaped for HTML, and
// no character for ASCII.
func filterJSON(r *run, v any, a arguments) (any, error) {
	l := layout{item: ", ", pair: ": "}
	if n, ok := a.at(1, "indent"); ok && n != nil {
		width, isInt := integer(n)
		if text, isText := n.(string); isText {
			l.indent = text
		} else if isInt && width >= 0 && width <= 64 {
			l.indent = strings.Repeat(" ", int(width))
		} else {
			return nil, fmt.Errorf("tojson: an indent of %s: use 0 to 64", repr(n))
		}
		l.item = ","
	}
	if s, ok := a.at(2, "separators"); ok && s != nil {
		pair, ok := s.(*List)
		if !ok || len(pair.Items) != 2 {
			return nil, errors.New("tojson: separators are a pair of texts")
		}
		l.item, l.pair = str(pair.Items[0]), str(pair.Items[1])
	}
	var b strings.Builder
	if err := l.write(&b, v, 0); err != nil {
		return nil, err
	}
	return r.made(b.String())
}

func (l layout) write(b *strings.Builder, v any, depth int) error {
	if depth > 200 {
		return errors.New("tojson: the value is nested too deeply")
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("tojson: %s is no JSON", floatText(v))
		}
		b.WriteString(floatText(v))
	case string:
		writeString(b, v)
	case *List:
		return l.block(b, "[]", len(v.Items), depth, func(i int) error { return l.write(b, v.Items[i], depth+1) })
	case *Dict:
		return l.block(b, "{}", len(v.keys), depth, func(i int) error {
			k, ok := v.keys[i].(string)
			if !ok {
				k = str(v.keys[i])
			}
			writeString(b, k)
			b.WriteString(l.pair)
			return l.write(b, v.values[v.keys[i]], depth+1)
		})
	default:
		return fmt.Errorf("tojson: Object of type %s is not JSON serializable", kind(v))
	}
	return nil
}

func (l layout) block(b *strings.Builder, ends string, n, depth int, item func(int) error) error {
	b.WriteByte(ends[0])
	for i := range n {
		if i > 0 {
			b.WriteString(l.item)
		}
		l.line(b, depth+1)
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		l.line(b, depth)
	}
	b.WriteByte(ends[1])
	return nil
}

func (l layout) line(b *strings.Builder, depth int) {
	if l.indent == "" {
		return
	}
	b.WriteByte('\n')
	for range depth {
		b.WriteString(l.indent)
	}
}

func writeString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		default:
			if c < 0x20 {
				fmt.Fprintf(b, `\u%04x`, c)
				continue
			}
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
