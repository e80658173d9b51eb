package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"time"

	"tempera/training/device"
	"tempera/training/optim"
)

// Loop trains an objective. The weights after a step are a function of the
// configuration, the batches and the initial weights: neither the number of
// threads nor checkpoints, stops and resumptions change a bit of them.
type Loop struct {
	Config      Config
	Backend     device.Backend
	Objective   Objective
	Batches     Batches
	Checkpoints Checkpoints // nil: nothing is kept and nothing resumed
	Metrics     interface { // nil: none are written
		// Write records the metrics of a step; one that is written again replaces the earlier one.
		Write(step int64, values map[string]float64) error
	}
	Progress func(done, total int64, note string) // nil: nobody looks; called after every step
	Stopping <-chan struct{}                      // closed: write a checkpoint and return ErrStopped
	Planned  func(Memory)                         // nil: nobody looks; called before memory is allocated, also if it is too much
}

// Result is what a finished loop tells.
type Result struct {
	Steps   int64   // all steps of the run
	Resumed int64   // the step that this execution started from
	Metrics Metrics // of the last step
	Memory  Memory  // as predicted; zero where the objective is not Sized
}

// run is the state of one execution of a loop.
type run struct {
	*Loop
	config  Config
	adam    optim.Optimizer
	saver   *saver // nil: no checkpoints
	feed    *feed
	history history
	timer   stepTimer
	last    time.Time // when the last checkpoint began
	seen    Metrics
	needed  Memory
}

// stopGrace bounds the last checkpoint of a loop whose context is cancelled.
const stopGrace = 30 * time.Second

// Run trains until Config.Steps are done, starting from the newest checkpoint.
// When Stopping is closed or ctx is cancelled, it writes a checkpoint first and
// returns an error that wraps ErrStopped. A *DivergedError and ErrOtherConfig are
// final; other errors may pass when it is run again.
func (l *Loop) Run(ctx context.Context) (Result, error) {
	r := &run{Loop: l, config: l.Config.resolve()}
	if err := l.Config.Validate(); err != nil {
		return Result{}, fmt.Errorf("training configuration: %w", err)
	}
	start, err := r.prepare(ctx)
	if err != nil {
		return Result{}, err
	}
	r.feed = startFeed(l.Batches, start, r.config.Steps)
	defer r.feed.stop()
	r.last = time.Now()
	r.timer.start()
	for step := start; step < r.config.Steps; step++ {
		if cause := r.stopped(ctx); cause != nil {
			return Result{}, r.halt(ctx, step, cause)
		}
		if err := r.step(step); err != nil {
			return Result{}, errors.Join(err, r.settle())
		}
		if err := r.checkpoint(ctx, step+1); err != nil {
			return Result{}, err
		}
	}
	if err := r.settle(); err != nil {
		return Result{}, err
	}
	return Result{Steps: r.config.Steps, Resumed: start, Metrics: r.seen, Memory: r.needed}, nil
}

// prepare makes the optimiser and restores the newest checkpoint. It returns the
// step to go on with.
func (r *run) prepare(ctx context.Context) (int64, error) {
	if err := r.weigh(); err != nil {
		return 0, err
	}
	adam, err := optim.New(r.Backend, r.Objective.Params(), r.config.AdamW)
	if err != nil {
		return 0, err
	}
	r.adam = adam
	if o, ok := r.Objective.(Rated); ok {
		adam.ScaleRates(o.RateShare)
	}
	if _, ok := r.Objective.(Costed); ok && r.Metrics != nil && r.config.PeakFLOPS == 0 {
		if r.config.PeakFLOPS, err = measurePeak(r.Backend); err != nil {
			return 0, err
		}
	}
	if r.Checkpoints == nil {
		return 0, nil
	}
	var live []optim.Tensor
	for _, p := range r.Objective.Params() {
		live = append(live, optim.Tensor{Name: "param." + p.Name, Value: p.Value})
	}
	live = append(live, adam.State()...)
	for _, t := range r.Objective.State() {
		live = append(live, optim.Tensor{Name: "state." + t.Name, Value: t.Value})
	}
	spare, err := newSnapshot(r.Backend, r.config, live)
	if err != nil {
		return 0, err
	}
	r.saver = newSaver(r.Checkpoints, spare)
	found, err := r.Checkpoints.Load(ctx, func(_ int64, src io.Reader) error { return spare.read(src) })
	if err != nil {
		return 0, fmt.Errorf("resume training: %w", err)
	}
	if !found {
		return 0, nil
	}
	r.saver.saved = spare.step
	return spare.step, spare.restore()
}

// step does one step and records it.
func (r *run) step(step int64) error {
	asked := time.Now()
	b, err := r.feed.next()
	r.timer.waited += time.Since(asked)
	if err != nil {
		return fmt.Errorf("batch of step %d: %w", step, err)
	}
	r.adam.ZeroGrad()
	m, err := r.Objective.Step(step, b)
	r.feed.release(b)
	if err != nil {
		return fmt.Errorf("step %d: %w", step, err)
	}
	norm, err := r.adam.GradNorm()
	if err != nil {
		return fmt.Errorf("step %d: %w", step, err)
	}
	lr := r.config.Schedule.At(step)
	m["grad_norm"], m["lr"] = norm, lr
	for _, key := range []string{LossKey, "grad_norm"} {
		if v := m[key]; math.IsNaN(v) || math.IsInf(v, 0) {
			return &DivergedError{Step: step, What: key, Value: v, Previous: r.history}
		}
	}
	r.adam.Step(step, lr, norm)
	if err := r.Objective.Updated(step); err != nil {
		return fmt.Errorf("after step %d: %w", step, err)
	}
	r.history.add(step, m)
	r.seen = m
	return r.report(step, m)
}

func (r *run) report(step int64, m Metrics) error {
	r.timer.steps++
	done := step + 1
	if r.Progress != nil {
		r.Progress(done, r.config.Steps, fmt.Sprintf("loss %.4g", m[LossKey]))
	}
	if done%r.config.LogSteps != 0 && done != r.config.Steps {
		return nil
	}
	measured := maps.Clone(m) // Result's metrics are functions of the step; speed is not
	r.timer.measure(r, measured)
	if r.Metrics == nil {
		return nil
	}
	if err := r.Metrics.Write(step, measured); err != nil {
		return fmt.Errorf("write the metrics of step %d: %w", step, err)
	}
	return nil
}

// checkpoint begins one if it is time and the one before it is written.
func (r *run) checkpoint(ctx context.Context, done int64) error {
	if r.saver == nil {
		return nil
	}
	c := r.config
	due := c.CheckpointSteps > 0 && done%c.CheckpointSteps == 0 || c.CheckpointEvery > 0 && time.Since(r.last) >= c.CheckpointEvery
	idle, err := r.saver.idle()
	if err != nil && ctx.Err() != nil { // the next step finds the cancellation and saves again
		r.saver.saved = -1
		return nil
	}
	if err != nil || !due || !idle || done == c.Steps {
		return err
	}
	r.last = time.Now()
	return r.saver.begin(ctx, done)
}

// stopped returns why the loop should stop, or nil.
func (r *run) stopped(ctx context.Context) error {
	select {
	case <-r.Stopping:
		return errors.New("the worker is stopping")
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
		return nil
	}
}

// halt writes the state at a step boundary, unless it is written already, also
// when ctx is cancelled.
func (r *run) halt(ctx context.Context, done int64, cause error) error {
	stopped := fmt.Errorf("%w after step %d: %w", ErrStopped, done, cause)
	if r.saver == nil {
		return stopped
	}
	err := r.saver.wait()
	if r.saver.saved == done && err == nil {
		return stopped
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := r.saver.begin(ctx, done); err != nil {
		return errors.Join(stopped, err)
	}
	if err := r.saver.wait(); err != nil {
		return errors.Join(stopped, err)
	}
	return stopped
}

// settle waits for a checkpoint that is being written.
func (r *run) settle() error {
	if r.saver == nil {
		return nil
	}
	return r.saver.wait()
}
