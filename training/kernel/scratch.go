package kernel

import "sync"

// lease is scratch memory held by one call or one block of it. Its buffers only grow and come back with old contents.
type lease struct {
	tile tileArgs
	pack groupPack
	bufs [bufs][]float32
}

// The buffers of a lease: those of a product, and those of the kernel that runs it.
const (
	bufA = iota
	bufB
	bufTile
	bufPre
	buf0
	buf1
	buf2
	buf3
	buf4
	buf5
	buf6
	bufs
)

// buf returns n floats of the lease's buffer i, not cleared.
func (l *lease) buf(i, n int) []float32 {
	if cap(l.bufs[i]) < n {
		l.bufs[i] = make([]float32, n+n/4)
	}
	return l.bufs[i][:n]
}

// leases are the scratch memory of one engine that is not in use. They stay until the engine goes: a step needs them again.
type leases struct {
	mu   sync.Mutex
	free []*lease
}

func (e *Engine) lease() *lease {
	s := &e.scratch
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		l := s.free[n-1]
		s.free = s.free[:n-1]
		return l
	}
	return new(lease)
}

func (e *Engine) release(l *lease) {
	s := &e.scratch
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, l)
}
