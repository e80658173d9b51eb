package activities

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"time"
)

// savePause is the least time between two checkpoints.
const savePause = 20 * time.Second

// resumed is what a stage that does not train has found so far, and its checkpoint: the next attempt goes on from it. What is found must depend on the
// stage's inputs and parameters only, so that a stage that goes on ends with the same bits.
type resumed[T any] struct {
	known T
	task  *Task
	saved time.Time
	steps int64
}

// resume reads what an earlier attempt has found.
func resume[T any](ctx context.Context, t *Task) (*resumed[T], error) {
	r := &resumed[T]{task: t, saved: time.Now()}
	_, err := t.Checkpoints.Load(ctx, func(step int64, from io.Reader) error {
		r.steps = step
		r.known = *new(T) // what a corrupt checkpoint before this one left
		return gob.NewDecoder(from).Decode(&r.known)
	})
	if err != nil {
		return nil, fmt.Errorf("what was found before: %w", err)
	}
	return r, nil
}

// grew notes that steps more are known and saves them if it is time, or now where the worker stops: then it returns ErrStopped.
func (r *resumed[T]) grew(ctx context.Context, steps int) error {
	r.steps += int64(steps)
	stopping := false
	select {
	case <-r.task.Stopping:
		stopping = true
	default:
	}
	if !stopping && time.Since(r.saved) < savePause {
		return nil
	}
	r.saved = time.Now()
	err := r.task.Checkpoints.Save(ctx, r.steps, func(w io.Writer) error { return gob.NewEncoder(w).Encode(&r.known) })
	if err == nil && stopping {
		err = ErrStopped
	}
	return err
}
