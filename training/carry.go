package training

import (
	"context"
	"fmt"
	"io"

	"tempera/training/optim"
)

// Carry makes a run one leg of a longer training. Its parameters are those of the
// objective, wherever they come from; the rest of the state, that of the optimiser
// and of the objective, goes from leg to leg. Config.Steps is the step that the leg
// ends with, Config.Schedule is of the whole training, and a leg's own decisions
// (steps left out, evaluations) begin anew.
type Carry struct {
	From   int64  // the step that the leg begins with
	Digest string // identifies the training; a state with another one is refused
	// Take reads the state that the leg before gave; nil: it is that of a new run.
	Take func(ctx context.Context, read func(io.Reader) error) error
	// Give gets the state after the last step.
	Give func(ctx context.Context, write func(io.Writer) error) error
}

// take makes the state of the leg before the live one. It returns the step to begin with.
func (r *run) take(ctx context.Context) (int64, error) {
	c := r.Carry
	if c == nil {
		return 0, nil
	}
	if c.Take == nil {
		return c.From, nil
	}
	s, err := r.carried()
	if err != nil {
		return 0, err
	}
	err = c.Take(ctx, func(src io.Reader) error {
		if err := s.read(src); err != nil {
			return err
		}
		if s.step != c.From {
			return fmt.Errorf("%w: the state is that after step %d, the run begins with step %d", ErrOtherConfig, s.step, c.From)
		}
		return s.restore()
	})
	if err != nil {
		return 0, fmt.Errorf("take over the state of the steps before %d: %w", c.From, err)
	}
	return c.From, nil
}

// give hands the state to the next leg.
func (r *run) give(ctx context.Context, done int64) error {
	if r.Carry == nil || r.Carry.Give == nil {
		return nil
	}
	if err := r.settle(); err != nil {
		return err
	}
	s, err := r.carried()
	if err == nil {
		err = s.take(done, "")
	}
	if err == nil {
		err = r.Carry.Give(ctx, s.write)
	}
	if err != nil {
		return fmt.Errorf("hand on the state after step %d: %w", done, err)
	}
	return nil
}

// carried is room for the state that goes from leg to leg.
func (r *run) carried() (*snapshot, error) {
	c := r.config
	c.Digest = r.Carry.Digest
	return newSnapshot(r.Backend, c, r.beside())
}

// beside lists the tensors of the state beside the parameters.
func (r *run) beside() []optim.Tensor {
	live := r.optimizer.State()
	for _, t := range r.Objective.State() {
		live = append(live, optim.Tensor{Name: "state." + t.Name, Value: t.Value})
	}
	return live
}
