package kernel

// lease is scratch memory held by one call or one block of it. Its buffers only grow and come back with old contents.
type lease struct{ bufs [4][]float32 }

// buf returns n floats of the lease's buffer i, not cleared.
func (l *lease) buf(i, n int) []float32 {
	if cap(l.bufs[i]) < n {
		l.bufs[i] = make([]float32, n+n/4)
	}
	return l.bufs[i][:n]
}

func (e *Engine) lease() *lease    { return e.scratch.Get().(*lease) }
func (e *Engine) release(l *lease) { e.scratch.Put(l) }
