package kernel

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

func (e *Engine) lease() *lease    { return e.scratch.Get().(*lease) }
func (e *Engine) release(l *lease) { e.scratch.Put(l) }
