package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Local is a store that keeps blobs as files on this machine, for readers that
// seek (shards, weights).
type Local interface {
	// Path returns a file that holds exactly the verified bytes of d. The file
	// must not be written to and stays until release is called, once.
	Path(ctx context.Context, d Digest) (path string, release func(), err error)
}

// LocalPath returns a file with the bytes of d: the store's own where it is
// Local, a copy in the folder scratch otherwise, which release removes.
func LocalPath(ctx context.Context, s Blobs, d Digest, scratch string) (path string, release func(), err error) {
	if l, ok := s.(Local); ok {
		return l.Path(ctx, d)
	}
	r, err := s.Open(ctx, d)
	if err != nil {
		return "", nil, err
	}
	f, err := os.CreateTemp(scratch, d.Short()+"-*")
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("copy %s: %w", d, err), r.Close())
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, r.Close(), f.Close()); err != nil {
		return "", nil, errors.Join(fmt.Errorf("copy %s to %s: %w", d, scratch, err), os.Remove(f.Name()))
	}
	return f.Name(), func() { _ = os.Remove(f.Name()) }, nil
}
