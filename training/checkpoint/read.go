package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
)

// File is an open safetensors file. Its methods may be called from several
// goroutines where the underlying io.ReaderAt allows it.
type File struct {
	r      io.ReaderAt
	data   int64 // offset of the data section
	header *header
	index  map[string]int
}

// Open reads and checks the header of a file of the given size; tensors are read
// when they are asked for. The error of an unsound file wraps ErrCorrupt.
func Open(r io.ReaderAt, size int64) (*File, error) {
	n, err := headerLength(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, err
	}
	if n > size-8 {
		return nil, corrupt("the header's length %d is more than the file's %d bytes", n, size)
	}
	raw := make([]byte, n)
	if err := readFull(r, raw, 8); err != nil {
		return nil, fmt.Errorf("read safetensors header: %w", err)
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	if got := size - 8 - n; got != h.size {
		return nil, corrupt("the tensors take %d bytes, the file has %d", h.size, got)
	}
	f := &File{r: r, data: 8 + n, header: h, index: map[string]int{}}
	for i, t := range h.tensors {
		f.index[t.Name] = i
	}
	return f, nil
}

// readFull fills b from offset at; a file that has become shorter is corrupt.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return corrupt("it ends at byte %d, within its data", at+int64(n))
	}
	return err
}

func headerLength(r io.Reader) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, corrupt("it is shorter than 8 bytes")
		}
		return 0, fmt.Errorf("read safetensors: %w", err)
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > maxHeader {
		return 0, corrupt("the header's length %d is over the format's %d", n, maxHeader)
	}
	return int64(n), nil
}

// Metadata returns a copy of the file's metadata.
func (f *File) Metadata() map[string]string { return maps.Clone(f.header.meta) }

// Tensors describes the tensors in the order of their data. The slice must not
// be changed.
func (f *File) Tensors() []Info { return f.header.tensors }

// Info finds a tensor by name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.header.tensors[i], true
}

// ReadFloat32 reads a float32 tensor into dst, whose length must be the tensor's.
func (f *File) ReadFloat32(name string, dst []float32) error {
	return f.read(Float32(name, nil, dst))
}

// ReadInt32 reads an int32 tensor into dst, whose length must be the tensor's.
func (f *File) ReadInt32(name string, dst []int32) error {
	return f.read(Int32(name, nil, dst))
}

// ReadBytes reads the bytes of a tensor of any type.
func (f *File) ReadBytes(name string) ([]byte, error) {
	t, ok := f.Info(name)
	if !ok {
		return nil, fmt.Errorf("the file has no tensor %q", name)
	}
	b := make([]byte, t.Bytes())
	if err := readFull(f.r, b, f.data+t.begin); err != nil {
		return nil, fmt.Errorf("read tensor %q: %w", name, err)
	}
	return b, nil
}

// read fills dst, whatever its shape, from the tensor of its name.
func (f *File) read(dst Tensor) error {
	t, ok := f.Info(dst.Name)
	if !ok {
		return fmt.Errorf("the file has no tensor %q", dst.Name)
	}
	if t.DType != dst.DType || t.Len() != dst.len() {
		return fmt.Errorf("tensor %q is %s with %d elements, want %s with %d", t.Name, t.DType, t.Len(), dst.DType, dst.len())
	}
	return dst.decode(func(b []byte, at int64) error {
		return readFull(f.r, b, f.data+t.begin+at)
	})
}
