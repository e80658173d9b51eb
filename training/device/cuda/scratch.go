//go:build gpu

package cuda

import (
	"errors"
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// scratch is memory for what the kernels of a method leave for each other. It only grows.
type scratch struct {
	mu    sync.Mutex
	all   []driver.Pointer // the last is in use; recorded work may still name the others
	bytes int
}

// with calls f with memory that holds anything. No other call has it while f asks for work, and so none before that work is done. Where there is no
// memory f is not called, and the fault is the next Sync's.
func (s *scratch) with(b *Backend, bytes int, f func(p driver.Pointer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes > s.bytes {
		size := max(bytes, 2*s.bytes, 1<<20)
		p, err := b.device.Alloc(size)
		if err != nil {
			b.fail(err)
			return
		}
		s.all, s.bytes = append(s.all, p), size
	}
	f(s.all[len(s.all)-1])
}

func (s *scratch) free(b *Backend) error {
	var errs []error
	for _, p := range s.all {
		errs = append(errs, b.device.Free(p))
	}
	return errors.Join(errs...)
}

// layout cuts scratch memory into parts.
type layout struct{ bytes int }

// part is the offset of n bytes that no other part has, aligned for all accesses.
func (l *layout) part(n int) driver.Pointer {
	at := l.bytes
	l.bytes += (n + 255) &^ 255
	return driver.Pointer(at)
}

// floats is the part of n float32 numbers.
func (l *layout) floats(n int) driver.Pointer { return l.part(n * device.WordBytes) }
