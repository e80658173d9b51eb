package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// chunk is the number of elements that are written or converted at a time.
const chunk = 64 << 10

// Write writes a file: the header first, then one tensor after the other. The
// order of tensors does not matter; equal names, and data that does not match
// its shape, are errors. Nothing larger than one chunk is buffered.
func Write(w io.Writer, meta map[string]string, tensors []Tensor) error {
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b Tensor) int {
		if d := sizes[b.DType] - sizes[a.DType]; d != 0 {
			return int(d)
		}
		return strings.Compare(a.Name, b.Name)
	})
	names := map[string]bool{metadataKey: true}
	for _, t := range sorted {
		if names[t.Name] {
			return fmt.Errorf("write safetensors: two tensors are named %q", t.Name)
		}
		names[t.Name] = true
		if err := t.check(); err != nil {
			return fmt.Errorf("write safetensors: %w", err)
		}
	}
	head, err := encodeHeader(meta, sorted)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	for _, part := range [][]byte{length, head} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write safetensors: %w", err)
		}
	}
	for _, t := range sorted {
		if err := t.write(w); err != nil {
			return fmt.Errorf("write safetensors: tensor %q: %w", t.Name, err)
		}
	}
	return nil
}
