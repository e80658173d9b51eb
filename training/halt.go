package training

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopGrace bounds the last checkpoint of a loop whose context is cancelled.
const stopGrace = 30 * time.Second

// whole tells whether the state at a step's beginning is one to go on from.
func (r *run) whole(step int64) bool {
	d, ok := r.Objective.(Divided)
	return !ok || d.Whole(step)
}

// checkpoint begins one if it is time and the one before it is written.
func (r *run) checkpoint(ctx context.Context, done int64) error {
	if r.saver == nil {
		return nil
	}
	c := r.config
	due := c.CheckpointSteps > 0 && done%c.CheckpointSteps == 0 || c.CheckpointEvery > 0 && time.Since(r.last) >= c.CheckpointEvery
	due = due && done > r.began && done != r.saver.saved && r.anchored(done)
	idle, err := r.saver.idle()
	if err != nil && ctx.Err() != nil { // the next step finds the cancellation and saves again
		return nil
	}
	if err != nil || !due || !idle {
		return err
	}
	return r.begin(ctx, done)
}

// begin starts to write a checkpoint. The saver must be idle.
func (r *run) begin(ctx context.Context, done int64) error {
	decisions, err := r.control.encode()
	if err != nil {
		return err
	}
	r.last = time.Now()
	return r.saver.begin(ctx, done, decisions)
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
	_ = r.saver.wait() // what failed is not saved, and so is written now
	// A spike later on, or what the guard finds, would lead back to the anchor, which only its own checkpoint has.
	back := !r.anchored(done) || r.unopened(done) && r.anchor.step >= 0
	if back {
		done = r.anchor.step
	}
	if r.saver.saved == done {
		return stopped
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if back {
		r.saver.write(ctx, r.anchor)
	} else if err := r.begin(ctx, done); err != nil {
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

// handOver gives the state to those who go on from it.
func (r *run) handOver(ctx context.Context, done int64) error {
	if r.Final == nil {
		return nil
	}
	if err := r.settle(); err != nil {
		return err
	}
	decisions, err := r.control.encode()
	if err != nil {
		return err
	}
	state, err := newSnapshot(r.Backend, r.config, r.live())
	if err == nil {
		err = state.take(done, decisions)
	}
	if err == nil {
		err = r.Final(ctx, state.write)
	}
	if err != nil {
		return fmt.Errorf("hand over the state after step %d: %w", done, err)
	}
	return nil
}
