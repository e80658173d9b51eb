package metrics

import "errors"

// Writer records the metrics of steps.
type Writer interface {
	Write(step int64, values map[string]float64) error
}

// Many writes to all of several writers.
type Many []Writer

// Write writes to each, also after one has failed.
func (m Many) Write(step int64, values map[string]float64) error {
	var errs []error
	for _, w := range m {
		errs = append(errs, w.Write(step, values))
	}
	return errors.Join(errs...)
}
