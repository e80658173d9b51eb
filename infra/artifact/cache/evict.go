package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// leftover is the age from which an unfinished fetch belongs to a process that
// died.
const leftover = 24 * time.Hour

// trim evicts where the folder has outgrown its bound. What it cannot remove
// stays for the next time.
func (c *Cache) trim() {
	c.mu.Lock()
	over := c.used > c.max
	c.mu.Unlock()
	if over {
		_ = c.evict()
	}
}

// evict measures the folder and removes the least recently used files beyond
// the bound. Files in use by any process stay.
func (c *Cache) evict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	type entry struct {
		path string
		info fs.FileInfo
	}
	var entries []entry
	var total int64
	err := filepath.WalkDir(filepath.Join(c.dir, "sha256"), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process evicts too
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		entries = append(entries, entry{path, info})
		total += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), cmp.Compare(a.path, b.path))
	})
	var faults []error
	for _, e := range entries {
		if total <= c.max {
			break
		}
		removed, err := removeUnused(e.path)
		if err != nil {
			faults = append(faults, err)
		}
		if removed {
			total -= e.info.Size()
			c.evicted.Add(1)
		}
	}
	c.used = total
	return errors.Join(faults...)
}

// removeUnused removes a file that no process reads.
func removeUnused(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	free, err := lockExclusive(f)
	if err != nil || !free {
		return false, errors.Join(err, f.Close())
	}
	err = removeFile(path)
	return err == nil, errors.Join(err, f.Close())
}

func (c *Cache) removeLeftovers() error {
	tmp := filepath.Join(c.dir, "tmp")
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > leftover {
			err = removeFile(filepath.Join(tmp, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeFile removes a file that another process may have removed already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func isDiskFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
