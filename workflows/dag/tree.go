package dag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// tree is YAML or JSON with the lines where things stand.
type tree struct {
	shape shape
	line  int
	text  string // of a text; of a number or boolean: as JSON writes it
	items []*tree
	keys  []treeKey // in the order of the text, unique
	index map[string]*tree
}

type treeKey struct {
	name  string
	line  int
	value *tree
}

type shape uint8

const (
	null shape = iota
	boolean
	number
	text
	list
	object
)

func (s shape) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a mapping"}[s]
}

// Bounds on what a spec may expand to: YAML aliases could make gigabytes of a
// few lines.
const (
	maxText  = 16 << 20 // bytes
	maxDepth = 100
	maxNodes = 2 << 20
)

func (t *tree) find(name string) *tree { return t.index[name] }

// put adds a key; it fails where the key is there already.
func (t *tree) put(k treeKey) error {
	if t.find(k.name) != nil {
		return lineError{k.line, fmt.Sprintf("key %q is there twice: remove one", k.name)}
	}
	if t.index == nil {
		t.index = map[string]*tree{}
	}
	t.index[k.name] = k.value
	t.keys = append(t.keys, k)
	return nil
}

// readTree parses YAML or JSON.
func readTree(data []byte) (*tree, error) {
	if len(data) > maxText {
		return nil, fmt.Errorf("the text has %d bytes: at most %d are read", len(data), maxText)
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] == '{' && json.Valid(data) {
		return readJSON(data)
	}
	return readYAML(data)
}

// jsonReader turns JSON tokens into a tree and knows the line it is at.
type jsonReader struct {
	*json.Decoder
	data []byte
	seen int // bytes whose lines are counted
	line int
}

func readJSON(data []byte) (*tree, error) {
	r := &jsonReader{Decoder: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	r.UseNumber()
	t, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, lineError{r.at(), "there is more after the end of the JSON"}
	}
	return t, nil
}

// at returns the line of the token that was just read.
func (r *jsonReader) at() int {
	end := int(r.InputOffset())
	r.line += bytes.Count(r.data[r.seen:end], []byte("\n"))
	r.seen = end
	return r.line
}

func (r *jsonReader) value(depth int) (*tree, error) {
	if depth > maxDepth {
		return nil, lineError{r.at(), fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	tok, err := r.Token()
	if err != nil {
		return nil, lineError{r.at(), err.Error()}
	}
	t := &tree{line: r.at()}
	switch v := tok.(type) {
	case nil:
	case bool:
		t.shape, t.text = boolean, fmt.Sprint(v)
	case json.Number:
		t.shape, t.text = number, v.String()
	case string:
		t.shape, t.text = text, v
	case json.Delim:
		t.shape = list
		if v == '{' {
			t.shape = object
		}
		for r.More() {
			if err := r.member(t, depth+1); err != nil {
				return nil, err
			}
		}
		if _, err := r.Token(); err != nil {
			return nil, lineError{r.at(), err.Error()}
		}
	}
	return t, nil
}

// member reads one item of a list, or one key and value of an object.
func (r *jsonReader) member(t *tree, depth int) error {
	if t.shape == list {
		item, err := r.value(depth)
		t.items = append(t.items, item)
		return err
	}
	tok, err := r.Token()
	if err != nil {
		return lineError{r.at(), err.Error()}
	}
	name, _ := tok.(string)
	k := treeKey{name: name, line: r.at()}
	if k.value, err = r.value(depth); err != nil {
		return err
	}
	return t.put(k)
}

// lineError is a syntax error at a line.
type lineError struct {
	line    int
	message string
}

func (e lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.message) }

// canonical returns the JSON of t with sorted keys and without white space.
// Numbers keep the digits that were written.
func (t *tree) canonical() (json.RawMessage, error) {
	var b bytes.Buffer
	nodes := 0
	if err := t.write(&b, &nodes); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (t *tree) write(b *bytes.Buffer, nodes *int) error {
	if *nodes++; *nodes > maxNodes || b.Len() > maxText {
		return lineError{t.line, "aliases expand to too much: write out what is needed"}
	}
	switch t.shape {
	case null:
		b.WriteString("null")
	case boolean, number:
		b.WriteString(t.text)
	case text:
		return writeText(b, t.text)
	case list:
		b.WriteByte('[')
		for i, item := range t.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.write(b, nodes); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case object:
		keys := slices.Clone(t.keys)
		slices.SortFunc(keys, func(x, y treeKey) int { return strings.Compare(x.name, y.name) })
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeText(b, k.name); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := k.value.write(b, nodes); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	}
	return nil
}

func writeText(b *bytes.Buffer, s string) error {
	q, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("text %q: %w", s, err)
	}
	b.Write(q)
	return nil
}
