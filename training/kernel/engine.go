package kernel

import (
	"fmt"
	"runtime"
	"sync"
)

// Options configure an engine.
type Options struct {
	Threads int   // 0 means GOMAXPROCS; the calling goroutine is one of them
	Level   Level // Auto by default
}

// Engine runs kernels. It is safe for concurrent use.
type Engine struct {
	threads int
	level   Level
	isa     *isa
	work    chan *task
	stop    sync.Once
	scratch leases
}

// New starts an engine's threads. An unknown level, or one that the CPU lacks, is an error.
func New(o Options) (*Engine, error) {
	if o.Threads < 0 {
		return nil, fmt.Errorf("threads is %d: use 0 for all cores or a positive number", o.Threads)
	}
	level, err := o.Level.Resolve()
	if err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	e := &Engine{threads: threads, level: level, isa: isaOf(level)}
	if threads > 1 {
		e.work = make(chan *task, 4*threads)
		for range threads - 1 {
			go worker(e.work)
		}
	}
	return e, nil
}

// Threads returns the number of threads, the caller's included.
func (e *Engine) Threads() int { return e.threads }

// Level returns the level in use; never Auto.
func (e *Engine) Level() Level { return e.level }

// Close ends the engine's goroutines. No method may be running or be called afterwards.
func (e *Engine) Close() {
	e.stop.Do(func() {
		if e.work != nil {
			close(e.work)
		}
	})
}
