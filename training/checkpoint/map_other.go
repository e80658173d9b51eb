//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package checkpoint

import (
	"errors"
	"os"
)

func mapFile(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return nil }
