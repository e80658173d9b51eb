package hf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tempera/training/checkpoint"
)

// Folder is where the files of a model are.
type Folder interface {
	// Open opens a file by its name, which has no slashes. The error of a file that
	// is not there wraps fs.ErrNotExist.
	Open(name string) (File, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// onDisk is a folder whose files have paths, so that they can be mapped.
type onDisk interface {
	path(name string) (string, error)
}

// Dir is a folder on disk.
type Dir string

// Open opens a file of the folder.
func (d Dir) Open(name string) (File, error) { return openDisk(filepath.Join(string(d), name)) }

func (d Dir) path(name string) (string, error) { return filepath.Join(string(d), name), nil }

type diskFile struct {
	*os.File
	size int64
}

func (f diskFile) Size() int64 { return f.size }

func openDisk(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return diskFile{f, info.Size()}, nil
}

// FS is a folder of a file system, such as one that is embedded in a program.
// Files that cannot be read at an offset are held in memory.
func FS(fsys fs.FS) Folder { return fsFolder{fsys} }

type fsFolder struct{ fsys fs.FS }

func (f fsFolder) Open(name string) (File, error) {
	data, err := fs.ReadFile(f.fsys, name)
	if err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(data)}, nil
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// Fetched is a folder elsewhere, such as a prefix of a bucket: open streams a
// file, which is kept below scratch from its first use on. Whoever makes the
// folder removes scratch.
func Fetched(scratch string, open func(name string) (io.ReadCloser, error)) Folder {
	return fetched{scratch, open}
}

type fetched struct {
	scratch string
	open    func(name string) (io.ReadCloser, error)
}

func (f fetched) Open(name string) (File, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return openDisk(path)
}

func (f fetched) path(name string) (_ string, err error) {
	path := filepath.Join(f.scratch, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	r, err := f.open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	part, err := os.CreateTemp(f.scratch, name+".*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(part, r)
	if err = errors.Join(err, part.Close()); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, errors.Join(err, os.Remove(part.Name())))
	}
	return path, os.Rename(part.Name(), path)
}

// readFile reads a small file whole. found is false where there is none.
func readFile(f Folder, name string, limit int64) (data []byte, found bool, err error) {
	file, err := f.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if file.Size() > limit {
		return nil, true, fmt.Errorf("%s has %d bytes, more than the %d that are read", name, file.Size(), limit)
	}
	data = make([]byte, file.Size())
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, file.Size()), data); err != nil {
		return nil, true, fmt.Errorf("read %s: %w", name, err)
	}
	return data, true, nil
}

// openTensors opens a safetensors file of a folder, mapped where it is on disk.
func openTensors(f Folder, name string) (*checkpoint.File, error) {
	if d, ok := f.(onDisk); ok {
		path, err := d.path(name)
		if err != nil {
			return nil, err
		}
		return checkpoint.OpenFile(path)
	}
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	open, err := checkpoint.Open(file, file.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), file.Close())
	}
	return open.Owning(file), nil
}
