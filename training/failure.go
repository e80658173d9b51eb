package training

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrStopped is returned, wrapped, by a loop that was asked to stop. Its state is in a checkpoint.
var ErrStopped = errors.New("training stopped on request")

// ErrOtherConfig is wrapped by the error of a loop that found the checkpoint of
// another configuration. Trying again does not help.
var ErrOtherConfig = errors.New("the checkpoint is of another configuration")

// DivergedError says that a step gave a loss or a gradient that is not a number.
// The run is deterministic, so trying again does not help.
type DivergedError struct {
	Step     int64
	What     string  // the measurement
	Value    float64 // NaN or infinite
	Previous []StepMetrics
}

// DataError says that a batch holds numbers that are none. Trying again does not help.
type DataError struct {
	Step, Batch int64
	Array       string
}

func (e *DataError) Error() string {
	return fmt.Sprintf("batch %d, which step %d sees, has NaN or infinity in %q: look for the broken data, or leave such steps out (not_finite: skip)", e.Batch, e.Step, e.Array)
}

// FinalError is an error of a run that would come again: what is wrong is not the machine. Trying again does not help.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

// Unwrap is the error itself.
func (e *FinalError) Unwrap() error { return e.Err }

// mostDropped is how many steps in a row may be left out because their loss is no number.
const mostDropped = 10

// notFinite returns what is wrong with a measurement of a step.
func (r *run) notFinite(step int64, m Metrics, key string) *DivergedError {
	if v := m[key]; math.IsNaN(v) || math.IsInf(v, 0) {
		return &DivergedError{Step: step, What: key, Value: v, Previous: r.history}
	}
	return nil
}

// drop leaves a step's update out where that is wanted, a few times in a row.
func (r *run) drop(step int64, fault *DivergedError) error {
	r.control.Dropped++
	r.control.InRow++
	if !r.config.DropNotFinite || r.control.InRow > mostDropped {
		return fault
	}
	if r.Progress != nil {
		r.Progress(step+1, r.config.Steps, fmt.Sprintf("%s was no number: the step was left out", fault.What))
	}
	return nil
}

// StepMetrics are the metrics of a step.
type StepMetrics struct {
	Step    int64
	Metrics Metrics
}

func (e *DivergedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %v at step %d: lower the learning rate, lengthen the warm-up or look for broken data", e.What, e.Value, e.Step)
	for i, p := range e.Previous {
		if i == 0 {
			b.WriteString("; the steps before it:")
		}
		fmt.Fprintf(&b, "\n  step %d: %v", p.Step, p.Metrics)
	}
	return b.String()
}

// remembered is how many steps a DivergedError tells of.
const remembered = 5

// history keeps the metrics of the last steps.
type history []StepMetrics

func (h *history) add(step int64, m Metrics) {
	if len(*h) == remembered {
		*h = (*h)[1:]
	}
	*h = append(*h, StepMetrics{step, m})
}
