package generate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tempera/serving/network"
	"tempera/serving/page"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
)

// Options size a generator. They change how fast it is, never what it writes.
type Options struct {
	// Rows is the number of texts (beams count each) that run together; 0 means 64.
	Rows int
	// Memory bounds the bytes of keys and values; 0 means what Rows texts of the whole context and their images take, at most a GiB (or what one
	// text takes). What exceeds it waits.
	Memory int64
	// Page is the tokens of a page of keys and values, a multiple of 32; 0 means 32.
	Page int
	// Prefill is the number of prompt tokens that pass in one step beside the texts that are being written; 0 means 512.
	Prefill int
	// Device is where the network computes, and its keys and values lie; nil: on the CPU.
	Device device.Paged
	// Decode turns tokens into text, for stop strings and Text; nil: there is no text.
	Decode func(tokens []int32) string
}

// Generator writes texts. Its methods may be called from several goroutines: their requests run together.
type Generator struct {
	engine      *kernel.Engine
	config      model.Config
	imageTokens int // states of an image that the decoder attends to; 0: none
	options     Options
	memory      int64
	scratch     sync.Pool   // of *scratch
	cancelled   atomic.Bool // a call has ended since the schedule last looked

	mu   sync.Mutex
	come []*job // submitted, not yet known to the schedule
	jobs int    // submitted ever

	turn chan struct{} // held by the goroutine that runs steps or loads weights, which alone touches what follows
	schedule
	cache    decoder
	pool     *page.Pool
	logProbs []float32 // of a view
}

// New packs the weights of a resolved configuration, whose kind is blip, lm or vlm. get returns a parameter by name: (*model.Weights).Get. Packed
// matrices are copies; norms, biases and tables are kept.
func New(e *kernel.Engine, c model.Config, get func(name string) ([]float32, error), o Options) (*Generator, error) {
	if o.Rows < 0 || o.Page < 0 || o.Prefill < 0 || o.Memory < 0 {
		return nil, fmt.Errorf("new generator: rows %d, page %d, prefill %d, memory %d: give positive numbers, or 0", o.Rows, o.Page, o.Prefill, o.Memory)
	}
	o.Rows, o.Page, o.Prefill = cmp.Or(o.Rows, 64), cmp.Or(o.Page, kernel.PageUnit), cmp.Or(o.Prefill, 512)
	cache, pool, err := newDecoder(e, c, get, o)
	if err != nil {
		return nil, fmt.Errorf("new generator: %w", err)
	}
	g := &Generator{engine: e, config: c, imageTokens: network.ImageTokens(c), options: o, cache: cache, pool: pool, turn: make(chan struct{}, 1)}
	g.scratch.New = func() any { return new(scratch) }
	logProbs := 4 * int64(o.Rows) * int64(c.Text.Vocab)
	g.memory = cache.Memory(o.Rows+o.Prefill, o.Rows) + logProbs
	return g, nil
}

// Close frees what the generator holds on a device. On the CPU nothing needs it.
func (g *Generator) Close() error { return g.cache.Close() }

// Memory is what the generator takes at most, in bytes: the pages of keys and values, what a step computes, and the packed weights, on the CPU twice, as
// Load has them for a moment. The parameters are not part of it.
func (g *Generator) Memory() int64 { return g.memory }

// Held is the part of Memory that is allocated from the beginning: pages and weights.
func (g *Generator) Held() int64 { return g.cache.Held() }

// Load replaces the weights by others of the same configuration, as after a training step. It waits for the texts that are being written.
func (g *Generator) Load(ctx context.Context, get func(name string) ([]float32, error)) error {
	return g.replace(ctx, func() (func() error, error) { return g.cache.Load(get) })
}

// Follow is Load of the parameters of a model as they are now. On the model's own device they do not pass the host.
func (g *Generator) Follow(ctx context.Context, m *model.Model) error {
	c, ok := g.cache.(interface{ Follow(m *model.Model) error })
	if !ok || m.Backend() != device.Backend(g.options.Device) {
		return g.Load(ctx, m.Live)
	}
	return g.replace(ctx, func() (func() error, error) { return func() error { return c.Follow(m) }, nil })
}

// replace prepares other weights, and uses them when the texts that are being written are done.
func (g *Generator) replace(ctx context.Context, prepare func() (use func() error, err error)) error {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return fmt.Errorf("load weights: %w", context.Cause(ctx))
	}
	use, err := prepare()
	if err != nil {
		return err
	}
	g.receive()
	for g.busy() {
		g.step()
	}
	return use()
}

// Generate writes the texts of each request. All faults of all requests are reported before any work. A request that fails, or the end of ctx,
// stops the others of the call.
func (g *Generator) Generate(ctx context.Context, requests []Request) ([]Result, error) {
	var faults []error
	for i := range requests {
		if err := g.validate(&requests[i]); err != nil {
			faults = append(faults, fmt.Errorf("request %d: %w", i, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	jobs := make([]*job, len(requests))
	for i := range requests {
		jobs[i] = g.newJob(requests[i])
	}
	if err := g.run(ctx, jobs); err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	results := make([]Result, len(jobs))
	for i, j := range jobs {
		results[i] = j.result()
	}
	return results, nil
}

// run submits jobs and returns when all are done. The goroutines that wait take turns at running steps, which serve the jobs of all.
func (g *Generator) run(ctx context.Context, jobs []*job) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { g.cancelled.Store(true) })()
	g.mu.Lock()
	for i, j := range jobs {
		g.jobs++
		j.ctx, j.order, j.done = ctx, g.jobs, make(chan struct{})
		j.failed = func(err error) { stop(fmt.Errorf("request %d: %w", i, err)) }
	}
	g.come = append(g.come, jobs...)
	g.mu.Unlock()
	for _, j := range jobs {
		g.await(j)
	}
	for _, j := range jobs {
		if j.err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// await runs steps, or lets others run them, until a job is done.
func (g *Generator) await(j *job) {
	for {
		select {
		case <-j.done:
			return
		default:
		}
		select {
		case <-j.done:
			return
		case g.turn <- struct{}{}:
			g.takeTurn(j)
		}
	}
}

// takeTurn runs a step unless the job has ended meanwhile.
func (g *Generator) takeTurn(j *job) {
	defer func() { <-g.turn }()
	select {
	case <-j.done:
	default:
		g.receive()
		g.step()
	}
}

// receive makes the scheduler know what was submitted.
func (g *Generator) receive() {
	g.mu.Lock()
	come := g.come
	g.come = nil
	g.mu.Unlock()
	for _, j := range come {
		g.submit(j)
	}
}
