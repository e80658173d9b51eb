package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
)

// spinTime is how long a thread polls for work before it sleeps: kernels come in bursts, and waking a sleeping thread costs about 5 us.
const spinTime = 30 * time.Microsecond

// task is one parallel loop. Items are taken in order by whoever is free; a thread that comes late finds none left.
type task struct {
	fn       func(i int)
	n        int64
	next     atomic.Int64
	finished atomic.Int64
	done     chan struct{}
}

func (t *task) run() {
	for {
		i := t.next.Add(1) - 1
		if i >= t.n {
			return
		}
		t.fn(int(i))
		if t.finished.Add(1) == t.n {
			close(t.done)
		}
	}
}

func worker(work <-chan *task) {
	for {
		t, ok := nextTask(work)
		if !ok {
			return
		}
		t.run()
	}
}

func nextTask(work <-chan *task) (*task, bool) {
	start := time.Now()
	for spins := 1; ; spins++ {
		select {
		case t, ok := <-work:
			return t, ok
		default:
		}
		if spins%16 == 0 && time.Since(start) > spinTime {
			t, ok := <-work
			return t, ok
		}
		runtime.Gosched()
	}
}

// parallel runs fn(i) for every i in [0, n), on the caller and any idle threads, and returns when all are done. fn must not depend on the
// order or on the thread; nested calls are allowed.
func (e *Engine) parallel(n int, fn func(i int)) {
	if n <= 1 || e.threads == 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	t := &task{fn: fn, n: int64(n), done: make(chan struct{})}
	for range min(e.threads-1, n-1) {
		select {
		case e.work <- t:
		default: // every thread has work queued already
		}
	}
	t.run()
	start := time.Now()
	for spins := 1; t.finished.Load() < t.n; spins++ {
		if spins%16 == 0 && time.Since(start) > spinTime {
			<-t.done
			return
		}
		runtime.Gosched()
	}
}

// shared is parallel for loops of known cost. One that costs less than serialWork multiply-adds stays on the caller, since waking another
// thread would cost more.
func (e *Engine) shared(n, work int, fn func(i int)) {
	if work >= serialWork {
		e.parallel(n, fn)
		return
	}
	for i := range n {
		fn(i)
	}
}

// elementWork is the cost of one element of a row-wise or elementwise kernel, in multiply-adds of a product.
const elementWork = 16

// blocks runs fn over [lo, hi) pieces of [0, n), each of size rows except the last.
func (e *Engine) blocks(n, size int, fn func(lo, hi int)) {
	e.parallel((n+size-1)/size, func(i int) { fn(i*size, min(n, (i+1)*size)) })
}

// pieces is blocks for items of a known cost.
func (e *Engine) pieces(n, size, work int, fn func(lo, hi int)) {
	e.shared((n+size-1)/size, work, func(i int) { fn(i*size, min(n, (i+1)*size)) })
}

// grain is the number of float32 elements in one piece of an elementwise or row-wise kernel.
const grain = 1 << 13

// rows runs fn over blocks of whole rows that hold about grain elements.
func (e *Engine) rows(rows, cols int, fn func(lo, hi int)) {
	if cols == 0 {
		return
	}
	e.pieces(rows, max(1, grain/cols), rows*cols*elementWork, fn)
}

// flat runs fn over pieces of a vector.
func (e *Engine) flat(n int, fn func(lo, hi int)) { e.pieces(n, grain, n*elementWork, fn) }

// Parallel runs fn(i) for every i in [0, n) on the engine's threads and returns when all are done. fn may call the engine; it must not depend
// on the order of items.
func (e *Engine) Parallel(n int, fn func(i int)) { e.parallel(n, fn) }
