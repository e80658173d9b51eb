package training

import (
	"context"
	"fmt"
	"io"
)

// Checkpoints keeps the newest resumable states of a run.
type Checkpoints interface {
	// Save streams a checkpoint and makes it the newest one, atomically.
	Save(ctx context.Context, step int64, write func(io.Writer) error) error
	// Load calls read with the newest whole checkpoint, or with earlier ones after
	// read has failed; found is false where there is none.
	Load(ctx context.Context, read func(step int64, r io.Reader) error) (found bool, err error)
}

// saver writes checkpoints while training goes on: the state is copied at a step
// boundary, the copy is serialised by a goroutine.
type saver struct {
	to    Checkpoints
	spare *snapshot
	busy  chan error // one element while a checkpoint is being written; nil: idle
	saved int64      // the step of the newest checkpoint begun that has not failed; -1: none
}

func newSaver(to Checkpoints, spare *snapshot) *saver {
	return &saver{to: to, spare: spare, saved: -1}
}

// idle tells whether a checkpoint can begin. It returns the error of the last one.
func (s *saver) idle() (bool, error) {
	if s.busy == nil {
		return true, nil
	}
	select {
	case err := <-s.busy:
		return true, s.ended(err)
	default:
		return false, nil
	}
}

// wait returns when no checkpoint is being written.
func (s *saver) wait() error {
	if s.busy == nil {
		return nil
	}
	return s.ended(<-s.busy)
}

func (s *saver) ended(err error) error {
	s.busy = nil
	if err != nil {
		s.saved = -1
	}
	return err
}

// begin copies the state and starts to write it. The saver must be idle.
func (s *saver) begin(ctx context.Context, step int64, decisions string) error {
	if err := s.spare.take(step, decisions); err != nil {
		return err
	}
	s.write(ctx, s.spare)
	return nil
}

// write starts to write a snapshot, which must not change until it is written.
// The saver must be idle.
func (s *saver) write(ctx context.Context, from *snapshot) {
	s.saved = from.step
	s.busy = make(chan error, 1)
	go func(done chan<- error) {
		err := s.to.Save(ctx, from.step, from.write)
		if err != nil {
			err = fmt.Errorf("save the checkpoint of step %d: %w", from.step, err)
		}
		done <- err
	}(s.busy)
}
