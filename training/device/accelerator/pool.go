package accelerator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tempera/training/device"
)

// GPU is a device that the worker may lend.
type GPU struct {
	Ordinal    int
	Name       string
	Capability string // as in 9.0
	Driver     string // CUDA version that it has
	Bus        string // PCI, as in 0000:1b:00.0
	Memory     int64  // bytes
}

func (g GPU) String() string {
	return fmt.Sprintf("cuda:%d %s (compute capability %s, %.0f GiB, CUDA %s)", g.Ordinal, g.Name, g.Capability, float64(g.Memory)/(1<<30), g.Driver)
}

// Pool is the GPUs of a worker. The nil pool has none.
type Pool struct {
	gpus []GPU

	mu    sync.Mutex
	busy  map[int]bool
	lost  map[int]error
	freed chan struct{} // closed, and made anew, when one becomes free
}

// ErrLost is wrapped by the error of a lease whose device has failed: the work can be done on another one.
var ErrLost = errors.New("the GPU has failed")

// Backend is a GPU's backend. What a lease does not list here, those who compute on it do not find.
type Backend interface {
	device.Paged
	device.Rounding
	device.Separate
	device.Cloning
	device.Ahead
	Close() error
}

// NewPool is the GPUs of the given numbers, or all there are. The error says what is missing.
func NewPool(ordinals []int) (*Pool, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	p := &Pool{busy: map[int]bool{}, lost: map[int]error{}, freed: make(chan struct{})}
	if len(ordinals) == 0 {
		p.gpus = all
	}
	for _, n := range ordinals {
		i := slices.IndexFunc(all, func(g GPU) bool { return g.Ordinal == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no GPU %d: this machine has %s", n, names(all))
		}
		p.gpus = append(p.gpus, all[i])
	}
	if len(p.gpus) == 0 {
		return nil, errors.New("this machine has no GPU")
	}
	return p, nil
}

func names(gpus []GPU) string {
	var s []string
	for _, g := range gpus {
		s = append(s, g.String())
	}
	if s == nil {
		return "none"
	}
	return strings.Join(s, ", ")
}

// GPUs are what there is.
func (p *Pool) GPUs() []GPU {
	if p == nil {
		return nil
	}
	return p.gpus
}

// State is how a GPU is now.
type State struct {
	Busy        float64 // share of the last second in which a kernel ran
	Temperature float64 // degrees Celsius
	Power       float64 // watts
	Used        int64   // bytes of memory
	ECC         int64   // errors of the memory that could not be corrected
}

// State measures the GPU, by NVIDIA's management library.
func (g GPU) State() (State, error) { return measure(g) }

// Lease is a GPU in use. Its backend holds what the stage allocates; Close frees it all. It is no backend itself: what a device can do beside
// device.Backend, such as rounding, is asked of the backend's own type.
type Lease struct {
	Backend Backend
	GPU     GPU
	pool    *Pool
}

// Take waits for a free GPU that the choice takes, and opens it.
func (p *Pool) Take(ctx context.Context, c Choice, precision string) (*Lease, error) {
	if p == nil {
		return nil, fmt.Errorf("device %v: the stage runs on a worker that offers no GPU: use queue: gpu", c)
	}
	for {
		g, wait, err := p.claim(c)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			b, err := open(g.Ordinal, precision)
			if err != nil {
				p.release(g.Ordinal)
				return nil, err
			}
			return &Lease{b, g, p}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait:
		}
	}
}

// claim marks a free GPU as busy, or returns what to wait for.
func (p *Pool) claim(c Choice) (GPU, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fits, failed []string
	for _, g := range p.gpus {
		switch err := p.lost[g.Ordinal]; {
		case !c.takes(g.Ordinal):
			continue
		case err != nil:
			failed = append(failed, err.Error())
			continue
		case !p.busy[g.Ordinal]:
			p.busy[g.Ordinal] = true
			return g, nil, nil
		}
		fits = append(fits, g.String())
	}
	switch {
	case fits != nil:
		return GPU{}, p.freed, nil
	case failed != nil:
		return GPU{}, nil, fmt.Errorf("%w: %s", ErrLost, strings.Join(failed, "; "))
	}
	return GPU{}, nil, fmt.Errorf("device %v: this worker offers %s", c, names(p.gpus))
}

func (p *Pool) release(ordinal int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, ordinal)
	close(p.freed)
	p.freed = make(chan struct{})
}

// Close frees the GPU for others.
func (l *Lease) Close() error {
	err := l.Backend.Close()
	l.pool.release(l.GPU.Ordinal)
	return err
}

// Class adds to an error of the stage what the GPU knows of it: that it has failed, which takes it out of the pool, or that its memory is full.
func (l *Lease) Class(err error) error {
	switch {
	case err == nil:
		return nil
	case isLost(err):
		l.pool.mu.Lock()
		defer l.pool.mu.Unlock()
		l.pool.lost[l.GPU.Ordinal] = err
		return fmt.Errorf("%w: %s: %w", ErrLost, l.GPU, err)
	case isOutOfMemory(err):
		return &OutOfMemoryError{l.GPU, err}
	}
	return err
}

// OutOfMemoryError says that a stage needed more memory than the GPU has. Trying again does not help.
type OutOfMemoryError struct {
	GPU GPU
	Err error
}

func (e *OutOfMemoryError) Error() string {
	return fmt.Sprintf("the memory of %v is full: %v: use a smaller batch, accumulate it in more parts, or compute layers again (recompute)", e.GPU, e.Err)
}

func (e *OutOfMemoryError) Unwrap() error { return e.Err }
