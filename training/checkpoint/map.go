package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// OpenFile opens a file on disk. Where the system can, the file is mapped into
// memory, so that float32 tensors are used where they lie and pages that nobody
// looks at are never read; elsewhere it is read as it is asked for. The file must
// not be cut while it is open. The error of an unsound file wraps ErrCorrupt.
func OpenFile(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := openFile(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), file.Close())
	}
	if f.mapped == nil {
		f.close = file.Close
		return f, nil
	}
	f.close = func() error { return unmap(f.mapped) }
	if err := file.Close(); err != nil { // the map stays
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func openFile(file *os.File) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	raw, err := mapFile(file, info.Size())
	if errors.Is(err, errors.ErrUnsupported) {
		return Open(file, info.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	f, err := Open(bytes.NewReader(raw), info.Size())
	if err != nil {
		return nil, errors.Join(err, unmap(raw))
	}
	f.mapped = raw
	return f, nil
}
