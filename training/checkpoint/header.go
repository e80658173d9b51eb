package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on what a header may ask for. They are the format's own (length) or far
// above any real model (tensors, dimensions).
const (
	maxHeader  = 100 << 20
	maxTensors = 1 << 20
	maxDims    = 32
	maxName    = 4 << 10
)

const metadataKey = "__metadata__"

// ErrCorrupt is wrapped by every error that says that a file is not a sound
// safetensors file.
var ErrCorrupt = errors.New("not a sound safetensors file")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// header is a parsed header: tensors in the order of their data.
type header struct {
	meta    map[string]string
	tensors []Info
	size    int64 // bytes of the data section
}

// entry is a tensor's description as it stands in the header.
type entry struct {
	DType   DType `json:"dtype"`
	Shape   dims  `json:"shape"`
	Offsets dims  `json:"data_offsets"`
}

// read fills the entry from its JSON. The keys must be there, spelt as they are,
// and no others: what a lenient reader would make of a name could be another
// tensor than what a strict one makes.
func (e *entry) read(dec *json.Decoder) error {
	var parts map[string]json.RawMessage
	if err := dec.Decode(&parts); err != nil {
		return err
	}
	for _, part := range []struct {
		key string
		to  any
	}{{"dtype", &e.DType}, {"shape", &e.Shape}, {"data_offsets", &e.Offsets}} {
		raw, ok := parts[part.key]
		if !ok {
			return fmt.Errorf("it has no %s", part.key)
		}
		if err := json.Unmarshal(raw, part.to); err != nil {
			return fmt.Errorf("%s: %w", part.key, err)
		}
	}
	if len(parts) > 3 {
		return errors.New("it has more than dtype, shape and data_offsets")
	}
	return nil
}

// dims is a short list of whole numbers. A long one is refused before it is
// read, so that a header takes little more memory than its own bytes.
type dims []int64

func (d *dims) UnmarshalJSON(raw []byte) error {
	if n := bytes.Count(raw, []byte(",")); n >= maxDims {
		return fmt.Errorf("a list of %d numbers", n+1)
	}
	var v []int64
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	*d = v
	return nil
}

func (d dims) ints() ([]int, error) {
	v := make([]int, len(d))
	for i, n := range d {
		if n < 0 || n > math.MaxInt {
			return nil, fmt.Errorf("shape %v has an impossible size", []int64(d))
		}
		v[i] = int(n)
	}
	return v, nil
}

// parseHeader reads a header and checks that its tensors fill a data section
// without gaps or overlaps. It trusts nothing: duplicate names, unknown types,
// sizes that overflow and offsets outside the section are refused.
func parseHeader(raw []byte) (*header, error) {
	if !utf8.Valid(raw) {
		return nil, corrupt("the header is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, corrupt("the header is not a JSON object")
	}
	h := &header{meta: map[string]string{}}
	seen := map[string]bool{}
	for dec.More() {
		name, err := parseName(dec)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, corrupt("the header names %q twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if h.meta, err = parseMetadata(dec); err != nil {
				return nil, err
			}
			continue
		}
		if len(h.tensors) == maxTensors {
			return nil, corrupt("more than %d tensors", maxTensors)
		}
		info, err := parseEntry(dec, name)
		if err != nil {
			return nil, err
		}
		h.tensors = append(h.tensors, info)
	}
	if _, err := dec.Token(); err != nil {
		return nil, corrupt("header: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, corrupt("bytes follow the header's JSON object")
	}
	return h, h.layout()
}

// parseName reads the next key. Escapes that stand for no character become
// U+FFFD in Go, so a name that has it is not trusted to be the one that was meant.
func parseName(dec *json.Decoder) (string, error) {
	tok, err := dec.Token()
	if err != nil {
		return "", corrupt("header: %v", err)
	}
	name, _ := tok.(string)
	if len(name) > maxName {
		return "", corrupt("a name has %d bytes, more than %d", len(name), maxName)
	}
	if strings.ContainsRune(name, utf8.RuneError) {
		return "", corrupt("the name %q has an invalid character", name)
	}
	return name, nil
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	var values map[string]*string
	if err := dec.Decode(&values); err != nil {
		return nil, corrupt("metadata: %v", err)
	}
	meta := map[string]string{}
	for k, v := range values {
		if v == nil {
			return nil, corrupt("metadata: the value of %.200q is null, not text", k)
		}
		meta[k] = *v
	}
	return meta, nil
}

func parseEntry(dec *json.Decoder, name string) (Info, error) {
	var e entry
	if err := e.read(dec); err != nil {
		return Info{}, corrupt("tensor %q: %v", name, err)
	}
	size, ok := sizes[e.DType]
	if !ok {
		return Info{}, corrupt("tensor %q has the unknown type %.40q", name, e.DType)
	}
	shape, err := e.Shape.ints()
	if err != nil {
		return Info{}, corrupt("tensor %q: %v", name, err)
	}
	n, err := elements(shape)
	if err != nil {
		return Info{}, corrupt("tensor %q: %v", name, err)
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] {
		return Info{}, corrupt("tensor %q has the offsets %v", name, e.Offsets)
	}
	if e.Offsets[1]-e.Offsets[0] != n*size {
		return Info{}, corrupt("tensor %q of %d bytes spans the offsets %v", name, n*size, e.Offsets)
	}
	return Info{Name: name, DType: e.DType, Shape: shape, begin: e.Offsets[0], end: e.Offsets[1]}, nil
}

// layout orders the tensors by offset and checks that each begins where the one
// before it ends.
func (h *header) layout() error {
	slices.SortStableFunc(h.tensors, func(a, b Info) int {
		switch {
		case a.begin != b.begin:
			return int(min(max(a.begin-b.begin, -1), 1))
		case a.end != b.end:
			return int(min(max(a.end-b.end, -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, t := range h.tensors {
		if t.begin < h.size {
			return corrupt("tensor %q overlaps another one", t.Name)
		}
		if t.begin > h.size {
			return corrupt("there is a gap of %d bytes before tensor %q", t.begin-h.size, t.Name)
		}
		h.size = t.end
	}
	return nil
}

// encodeHeader lays tensors out in their order and returns the header padded to
// a multiple of 8 bytes.
func encodeHeader(meta map[string]string, tensors []Tensor) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(meta) > 0 {
		m, err := json.Marshal(meta) // keys come out sorted
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", metadataKey, m)
	}
	var at int64
	for i, t := range tensors {
		if i > 0 || len(meta) > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		end := at + t.Size()
		shape := make(dims, len(t.Shape))
		for i, d := range t.Shape {
			shape[i] = int64(d)
		}
		e, err := json.Marshal(entry{DType: t.DType, Shape: shape, Offsets: dims{at, end}})
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(e)
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes is over the format's %d", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}
