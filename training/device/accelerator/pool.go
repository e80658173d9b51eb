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

	mu      sync.Mutex
	busy    map[int]bool
	lost    map[int]error
	waiting []*request    // in the order in which they came
	freed   chan struct{} // closed, and made anew, when those who wait may look again
}

// ErrLost is wrapped by the error of a lease whose device has failed: the work can be done on another one.
var ErrLost = errors.New("the GPU has failed")

// Backend is a GPU's backend, with all that stages ask of it.
type Backend interface {
	device.Paged
	device.Rounding
	device.Separate
	device.Cloning
	device.Ahead
	device.Recorder
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

// Try opens every GPU once: the error says which cannot be used, and why.
func (p *Pool) Try() error {
	for _, g := range p.gpus {
		b, err := open(g.Ordinal, "")
		if err == nil {
			err = b.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
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
	closed  error // what Close returned
}

// Take waits for a free GPU that the choice takes, and opens it.
func (p *Pool) Take(ctx context.Context, c Choice, precision string) (*Lease, error) {
	all, err := p.take(ctx, &request{c, 1}, precision)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// take waits until the pool has what is asked for, all at once, and opens it.
func (p *Pool) take(ctx context.Context, r *request, precision string) ([]*Lease, error) {
	if p == nil {
		return nil, fmt.Errorf("device %v: the stage runs on a worker that offers no GPU: use queue: gpu", r.choice)
	}
	for {
		gpus, wait, err := p.claim(r)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return p.open(gpus, precision)
		}
		select {
		case <-ctx.Done():
			p.leave(r)
			return nil, ctx.Err()
		case <-wait:
		}
	}
}

// open opens claimed GPUs. Where one does not open, all are free again.
func (p *Pool) open(gpus []GPU, precision string) (all []*Lease, err error) {
	for _, g := range gpus {
		b, openErr := open(g.Ordinal, precision)
		if openErr != nil {
			p.release(g.Ordinal)
			err = errors.Join(err, openErr)
			continue
		}
		all = append(all, &Lease{Backend: b, GPU: g, pool: p})
	}
	if err == nil {
		return all, nil
	}
	for _, l := range all {
		err = errors.Join(err, l.Close())
	}
	return nil, err
}

// request is a stage that wants GPUs. It gets all of them at once and holds none while it waits, so that no two wait for each other.
type request struct {
	choice Choice
	n      int
}

// claim marks free GPUs as busy, or returns what to wait for. A GPU that an earlier request waits for is not free: or else one that wants several
// would wait for as long as others want one.
func (p *Pool) claim(r *request) ([]GPU, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.waiting, r) {
		p.waiting = append(p.waiting, r)
	}
	earlier := p.waiting[:slices.Index(p.waiting, r)]
	var fits, free []GPU
	var failed []string
	for _, g := range p.gpus {
		if !r.choice.takes(g.Ordinal) {
			continue
		}
		if err := p.lost[g.Ordinal]; err != nil {
			failed = append(failed, err.Error())
			continue
		}
		fits = append(fits, g)
		if !p.busy[g.Ordinal] && !slices.ContainsFunc(earlier, func(e *request) bool { return e.choice.takes(g.Ordinal) }) {
			free = append(free, g)
		}
	}
	switch {
	case len(fits) < r.n:
		p.forget(r)
		if len(fits)+len(failed) >= r.n {
			return nil, nil, fmt.Errorf("%w: %s", ErrLost, strings.Join(failed, "; "))
		}
		return nil, nil, fmt.Errorf("device %v%s: this worker offers %s", r.choice, of(r.n), names(p.gpus))
	case len(free) < r.n:
		return nil, p.freed, nil
	}
	free = free[:r.n]
	for _, g := range free {
		p.busy[g.Ordinal] = true
	}
	p.forget(r)
	return free, nil, nil
}

// of says how many, where they are several.
func of(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(", devices %d", n)
}

// leave ends a request that waits no longer.
func (p *Pool) leave(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(r)
}

// forget removes a request; mu is held. Those behind it may have their turn now.
func (p *Pool) forget(r *request) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w *request) bool { return w == r })
	p.wake()
}

// wake lets all who wait look again; mu is held.
func (p *Pool) wake() {
	close(p.freed)
	p.freed = make(chan struct{})
}

func (p *Pool) release(ordinal int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, ordinal)
	p.wake()
}

// Close frees the GPU for others.
func (l *Lease) Close() error {
	l.closed = l.Backend.Close()
	l.pool.release(l.GPU.Ordinal)
	return l.closed
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
		first, _, _ := strings.Cut(err.Error(), "\n") // all that comes after fails as well
		return fmt.Errorf("%w: %s: %s", ErrLost, l.GPU, first)
	case isOutOfMemory(err):
		return &OutOfMemoryError{l.GPU.String(), err}
	}
	return err
}

// OutOfMemoryError says that a stage needed more memory than the GPU has. Trying again does not help.
type OutOfMemoryError struct {
	GPU string // or GPUs, of which one is full
	Err error
}

func (e *OutOfMemoryError) Error() string {
	return fmt.Sprintf("the memory of %v is full: %v: use a smaller batch, accumulate it in more parts, or compute layers again (recompute)", e.GPU, e.Err)
}

func (e *OutOfMemoryError) Unwrap() error { return e.Err }
