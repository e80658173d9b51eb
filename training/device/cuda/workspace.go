//go:build gpu

package cuda

import (
	"errors"
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// workspace is memory in which the kernels of a method leave each other partial results.
type workspace struct {
	mu    sync.Mutex
	all   []driver.Pointer // the last is in use; recordings may still name the others
	bytes int
}

// withWorkspace lends memory to the kernels that f asks for. It is not cleared. f calls no method that wants some too.
func (b *Backend) withWorkspace(bytes int, f func(p driver.Pointer)) { b.workspace.lend(b, bytes, f) }

// lend calls f with memory that no other call has while f asks for work, and so none before that work is done. Where there is no memory f is not
// called, and the fault is the next Sync's.
func (w *workspace) lend(b *Backend, bytes int, f func(p driver.Pointer)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.grown(b.device, bytes)
	if err != nil {
		b.fail(err)
		return
	}
	f(p)
}

// grown is memory of so many bytes. The caller keeps others from it.
func (w *workspace) grown(d *driver.Device, bytes int) (driver.Pointer, error) {
	if bytes > w.bytes || w.all == nil {
		size := max(bytes, 2*w.bytes, 1<<20)
		p, err := d.Alloc(size)
		if err != nil {
			return 0, err
		}
		w.all, w.bytes = append(w.all, p), size
	}
	return w.all[len(w.all)-1], nil
}

func (w *workspace) close(d *driver.Device) error {
	var errs []error
	for _, p := range w.all {
		errs = append(errs, d.Free(p))
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
