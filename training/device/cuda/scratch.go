//go:build gpu

package cuda

import (
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// scratch is memory for what kernels of one method leave for each other. It grows to the most that was asked for.
type scratch struct {
	mu    sync.Mutex
	p     driver.Pointer
	bytes int
}

// with calls f with memory that holds anything. No other call has it while f asks for work, so that work in the order of the calls has it alone.
// Where there is no memory f is not called, and the fault is the next Sync's.
func (s *scratch) with(b *Backend, bytes int, f func(p driver.Pointer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.grow(b, bytes); err != nil {
		b.fail(err)
		return
	}
	f(s.p)
}

func (s *scratch) grow(b *Backend, bytes int) error {
	if bytes <= s.bytes {
		return nil
	}
	if err := s.free(b); err != nil {
		return err
	}
	p, err := b.device.Alloc(bytes)
	if err != nil {
		return err
	}
	s.p, s.bytes = p, bytes
	return nil
}

// free waits for the work that has been asked for: it may still use the memory.
func (s *scratch) free(b *Backend) error {
	if s.bytes == 0 {
		return nil
	}
	if err := b.compute.Sync(); err != nil {
		return err
	}
	err := b.device.Free(s.p)
	s.p, s.bytes = 0, 0
	return err
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
