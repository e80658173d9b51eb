//go:build !unix

package cache

import "os"

// These systems refuse to remove a file that is open, which is lock enough.
func lockShared(*os.File) error { return nil }

func lockExclusive(*os.File) (bool, error) { return true, nil }
