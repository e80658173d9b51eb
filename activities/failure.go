package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/temporal"

	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/training/device/accelerator"
	"tempera/workflows/stage"
)

// ErrStopped is returned by a kind that has written a checkpoint because its
// worker is stopping. The next attempt goes on from there.
var ErrStopped = errors.New("the worker is stopping; the work resumes from its checkpoint")

// Invalid marks an error as the fault of the input: trying again cannot help.
func Invalid(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{stage.InvalidInput, err}
}

// permanent is an error with a class that is not retried.
type permanent struct {
	class string
	error
}

func (p *permanent) Unwrap() error { return p.error }

// stopDelay is how soon a stage that gave way to a stopping worker goes on.
const stopDelay = 200 * time.Millisecond

// failure decides once, at the edge, what becomes of an error. Three things can:
//
//   - Faults of the surroundings (a stopping worker, a store or a judge that is away, a full
//     disk) are retried by the server for as long as they last.
//   - Faults of the input are final.
//   - All others are final for the server, and the stage's workflow, which
//     counts them, tries again: stage.StageFailed and stage.Panicked.
//
// The message holds all causes. They are not passed on beside it: the server
// would keep each with the name of its Go type, and workflows go by the type of
// the innermost error.
func failure(err error) error {
	var params *ParamsError
	var final *permanent
	var crash *panicked
	var full *accelerator.OutOfMemoryError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &crash):
		return lasting(stage.Panicked, err)
	case errors.Is(err, ErrStopped):
		return temporal.NewApplicationErrorWithOptions(oneLine(err), stage.Stopped, temporal.ApplicationErrorOptions{NextRetryDelay: stopDelay})
	case errors.Is(err, context.Canceled):
		return temporal.NewCanceledError(oneLine(err))
	case errors.As(err, &params):
		return lasting(stage.InvalidInput, err)
	case errors.Is(err, accelerator.ErrLost):
		err = fmt.Errorf("%w; the stage goes on by itself on another GPU", err)
		return temporal.NewApplicationError(oneLine(err), stage.DeviceLost)
	case errors.As(err, &full):
		return lasting(stage.OutOfMemory, err)
	case errors.As(err, &final):
		return lasting(final.class, err)
	case errors.Is(err, artifact.ErrDigest):
		return lasting(stage.CorruptArtifact, err)
	case errors.Is(err, artifact.ErrNotFound):
		return lasting(stage.MissingArtifact, err)
	case errors.Is(err, artifact.ErrPermission), errors.Is(err, artifact.ErrNoBucket), errors.Is(err, artifact.ErrCredentials):
		return lasting(stage.StoreRefused, err)
	case errors.Is(err, artifact.ErrFull), errors.Is(err, syscall.ENOSPC):
		err = fmt.Errorf("%w; the stage goes on by itself when there is space", err)
		return temporal.NewApplicationError(oneLine(err), stage.NoSpace)
	case errors.Is(err, artifact.ErrTransient), errors.Is(err, artifact.ErrConflict):
		return temporal.NewApplicationError(oneLine(err), stage.StoreUnavailable)
	case errors.Is(err, errJudge):
		err = fmt.Errorf("%w; the stage goes on by itself when it is back", err)
		return temporal.NewApplicationError(oneLine(err), stage.JudgeUnavailable)
	case errors.Is(err, reward.ErrProgram):
		return lasting(stage.InvalidInput, err)
	}
	return lasting(stage.StageFailed, err)
}

func lasting(class string, err error) error {
	return temporal.NewNonRetryableApplicationError(oneLine(err), class, nil)
}

// oneLine keeps a message readable in tables.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
