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
	mapped []byte // the whole file, where it is in memory
	close  func() error
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

// Close releases the file. What Floats returned must not be used after it.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
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

// Floats returns the values of a tensor, of any type that has values, as
// float32; those of a wider type are rounded. Where the file is mapped and the
// tensor is F32, nothing is copied: the values are the file's, which must not be
// written to, until Close.
func (f *File) Floats(name string) ([]float32, error) {
	t, ok := f.Info(name)
	if !ok {
		return nil, missing(name)
	}
	if f.mapped != nil && t.DType == F32 {
		if v := floatsIn(f.mapped[f.data+t.begin : f.data+t.end]); v != nil {
			return v, nil
		}
	}
	if _, err := decoderOf(t); err != nil {
		return nil, err
	}
	v := make([]float32, t.Len())
	return v, f.ReadFloats(name, v)
}

// ReadFloats reads what Floats returns into dst, whose length must be the
// tensor's.
func (f *File) ReadFloats(name string, dst []float32) error {
	t, ok := f.Info(name)
	if !ok {
		return missing(name)
	}
	decode, err := decoderOf(t)
	if err != nil {
		return err
	}
	if t.Len() != len(dst) {
		return fmt.Errorf("tensor %q has %d elements, want %d", t.Name, t.Len(), len(dst))
	}
	if t.DType == F32 {
		return f.ReadFloat32(name, dst)
	}
	err = inChunks(len(dst), int(t.DType.Size()), f.at(t), func(from int, b []byte) {
		decode(dst[from:from+len(b)/int(t.DType.Size())], b)
	})
	if err != nil {
		return fmt.Errorf("read tensor %q: %w", name, err)
	}
	return nil
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
		return nil, missing(name)
	}
	b := make([]byte, t.Bytes())
	if err := f.at(t)(b, 0); err != nil {
		return nil, fmt.Errorf("read tensor %q: %w", name, err)
	}
	return b, nil
}

// read fills dst, whatever its shape, from the tensor of its name.
func (f *File) read(dst Tensor) error {
	t, ok := f.Info(dst.Name)
	if !ok {
		return missing(dst.Name)
	}
	if t.DType != dst.DType || t.Len() != dst.len() {
		return fmt.Errorf("tensor %q is %s with %d elements, want %s with %d", t.Name, t.DType, t.Len(), dst.DType, dst.len())
	}
	if err := dst.fill(f.at(t)); err != nil {
		return fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	return nil
}

// at reads bytes of a tensor.
func (f *File) at(t Info) func(b []byte, at int64) error {
	return func(b []byte, at int64) error { return readFull(f.r, b, f.data+t.begin+at) }
}

func missing(name string) error { return fmt.Errorf("the file has no tensor %q", name) }

// Owning makes Close close c as well, and returns the file.
func (f *File) Owning(c io.Closer) *File {
	before := f.close
	f.close = func() error {
		if before == nil {
			return c.Close()
		}
		return errors.Join(before(), c.Close())
	}
	return f
}
