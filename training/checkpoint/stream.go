package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Stream reads a file from front to back, without holding it.
type Stream struct {
	r      io.Reader
	header *header
}

// NewStream reads and checks the header. Whether the data is whole shows when it
// is read. The error of an unsound file wraps ErrCorrupt.
func NewStream(r io.Reader) (*Stream, error) {
	n, err := headerLength(r)
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer // grows with what arrives, not with what the length claims
	if _, err := io.CopyN(&raw, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, corrupt("it ends within its header")
		}
		return nil, fmt.Errorf("read safetensors header: %w", err)
	}
	h, err := parseHeader(raw.Bytes())
	if err != nil {
		return nil, err
	}
	return &Stream{r: r, header: h}, nil
}

// Metadata returns a copy of the file's metadata.
func (s *Stream) Metadata() map[string]string { return maps.Clone(s.header.meta) }

// Tensors describes the tensors in the order of their data. The slice must not
// be changed.
func (s *Stream) Tensors() []Info { return s.header.tensors }

// Fill reads the whole data section into the given tensors, which must be
// exactly the file's: the same names, types and shapes. All mismatches are
// reported at once, before anything is read; a file that ends early, or goes on
// after its last tensor, is corrupt.
func (s *Stream) Fill(dst []Tensor) error {
	byName := map[string]Tensor{}
	for _, t := range dst {
		byName[t.Name] = t
	}
	var faults []error
	for _, t := range s.header.tensors {
		want, ok := byName[t.Name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("tensor %q is not expected", t.Name))
		case want.DType != t.DType || !slices.Equal(want.Shape, t.Shape):
			faults = append(faults, fmt.Errorf("tensor %q is %s %v, want %s %v", t.Name, t.DType, t.Shape, want.DType, want.Shape))
		case want.len() != t.Len():
			faults = append(faults, fmt.Errorf("tensor %q cannot be filled: it holds %d values, want %d", t.Name, want.len(), t.Len()))
		}
	}
	if len(faults) == 0 && len(byName) != len(s.header.tensors) {
		have := map[string]bool{}
		for _, t := range s.header.tensors {
			have[t.Name] = true
		}
		for _, t := range dst {
			if !have[t.Name] {
				faults = append(faults, fmt.Errorf("tensor %q is missing", t.Name))
			}
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	for _, t := range s.header.tensors {
		if err := byName[t.Name].fill(s.next); err != nil {
			return fmt.Errorf("read tensor %q: %w", t.Name, err)
		}
	}
	if n, err := io.CopyN(io.Discard, s.r, 1); n != 0 || !errors.Is(err, io.EOF) {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read safetensors: %w", err)
		}
		return corrupt("bytes follow the last tensor")
	}
	return nil
}

func (s *Stream) next(b []byte, _ int64) error {
	_, err := io.ReadFull(s.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("it ends within its data")
	}
	return err
}
