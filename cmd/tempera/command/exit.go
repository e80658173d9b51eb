package command

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1   // the run failed
	exitWrong       = 2   // wrong input
	exitEnvironment = 3   // a server does not answer, a disk is full, a port is taken
	exitDetached    = 130 // Ctrl-C; the run goes on
)

// exitError is an error with the exit code it stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// wrong marks an error that another command line or file would mend.
func wrong(err error) error { return marked(exitWrong, err) }

// failed marks the failure of a run.
func failed(err error) error { return marked(exitFailed, err) }

// detached marks a watch that a person ended.
func detached(err error) error { return marked(exitDetached, err) }

func marked(code int, err error) error {
	if err == nil {
		return nil
	}
	var already *exitError
	if errors.As(err, &already) {
		return err
	}
	return &exitError{code, err}
}

// report prints an error, one line a fault, and returns the exit code. Errors
// without a mark are the environment's.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	code := exitEnvironment
	var e *exitError
	switch {
	case errors.As(err, &e):
		code = e.code
	case isDetach(err):
		code = exitDetached
	}
	text := strings.TrimSpace(err.Error())
	if a.json {
		_ = a.encode(a.err, map[string]any{"error": text, "exit_code": code}) // the exit code tells it too
		return code
	}
	for line := range strings.Lines(text) {
		fmt.Fprintln(a.err, "tempera:", strings.TrimRight(line, "\n"))
	}
	return code
}
