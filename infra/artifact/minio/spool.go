package minio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"tempera/infra/artifact"
)

// inMemory is what is spooled without a file, in bytes.
const inMemory = 1 << 20

// body is what an upload sends; every attempt reads it from the start.
type body struct {
	at     io.ReaderAt
	offset int64
	size   int64
	close  func() error
}

func (b *body) reader() *io.SectionReader { return io.NewSectionReader(b.at, b.offset, b.size) }

// newBody makes r repeatable, and copies all of it to w on the way. What can be
// read again in place is; the rest is spooled to memory or to a file.
func (s *Store) newBody(r io.Reader, w io.Writer) (*body, error) {
	if seeker, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		if offset, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			n, err := io.Copy(w, r)
			if err != nil {
				return nil, &sourceError{err}
			}
			return &body{at: source{seeker}, offset: offset, size: n, close: func() error { return nil }}, nil
		}
	}
	var head bytes.Buffer
	n, err := io.Copy(io.MultiWriter(&head, w), io.LimitReader(r, inMemory))
	if err != nil {
		return nil, &sourceError{err}
	}
	if n < inMemory {
		return &body{at: bytes.NewReader(head.Bytes()), size: n, close: func() error { return nil }}, nil
	}
	return s.spool(io.MultiReader(&head, io.TeeReader(r, w)))
}

// spool copies r to a file that has no name any more where the system allows
// it, so that a killed process leaves nothing.
func (s *Store) spool(r io.Reader) (_ *body, err error) {
	f, err := os.CreateTemp(s.opts.SpoolDir, "tempera-put-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", diskFull(err))
	}
	unlinked := os.Remove(f.Name()) == nil
	b := &body{at: f, close: func() error {
		err := f.Close()
		if !unlinked {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		return err
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	// Reading and writing are told apart: a source that breaks is the caller's.
	src := &faultReader{r: io.LimitReader(r, s.opts.SpoolLimit+1)}
	b.size, err = io.Copy(f, src)
	switch {
	case src.err != nil:
		return nil, &sourceError{src.err}
	case err != nil:
		return nil, fmt.Errorf("spool: %w", diskFull(err))
	case b.size > s.opts.SpoolLimit:
		return nil, fmt.Errorf("spool: %w: the object is larger than the limit of %d bytes: put it from a file", artifact.ErrFull, s.opts.SpoolLimit)
	}
	return b, nil
}

// diskFull names the class of a local disk that is full.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free space, or set TMPDIR to a larger disk", err)
	}
	return err
}

// faultReader remembers why its source broke.
type faultReader struct {
	r   io.Reader
	err error
}

func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// source marks the faults of what is being read again in place.
type source struct{ io.ReaderAt }

func (s source) ReadAt(p []byte, offset int64) (int, error) {
	n, err := s.ReaderAt.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &sourceError{err}
	}
	return n, err
}
