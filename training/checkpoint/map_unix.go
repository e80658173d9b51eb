//go:build linux || darwin || freebsd || netbsd || openbsd

package checkpoint

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a whole file for reading.
func mapFile(f *os.File, size int64) ([]byte, error) {
	if size == 0 || size > math.MaxInt {
		return nil, errors.ErrUnsupported // an empty map is none; a large one does not fit into the address space
	}
	return unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
}

func unmap(raw []byte) error { return unix.Munmap(raw) }
