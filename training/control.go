package training

import (
	"encoding/json"
	"fmt"

	"tempera/training/checkpoint"
)

// control is what decides how a run goes on beside its tensors. It is a function
// of the metrics so far, and part of every checkpoint, so that a run that
// resumes decides as the uninterrupted one would have.
type control struct {
	Steps     int64 `json:"steps,omitempty"`      // decided from Config.Minutes
	DecidedAt int64 `json:"decided_at,omitempty"` // the step at which they were

	Skipped []interval `json:"skipped,omitempty"` // batches that no step sees, in order
	Rewinds []Rewind   `json:"rewinds,omitempty"`
	Losses  []float64  `json:"losses,omitempty"` // of the last steps, the oldest first
	Norms   []float64  `json:"norms,omitempty"`

	Retreat *Retreat `json:"retreat,omitempty"` // nil: the rate is the whole one

	Dropped int64 `json:"dropped,omitempty"` // steps whose loss was no number
	InRow   int64 `json:"in_row,omitempty"`  // of them, those just before

	Applied int64   `json:"applied,omitempty"` // steps that moved the parameters
	LossSum float64 `json:"loss_sum,omitempty"`
	Tokens  float64 `json:"tokens,omitempty"`

	Evaluated int64   `json:"evaluated,omitempty"` // the step of the last evaluation
	Latest    Metrics `json:"latest,omitempty"`
	Best      Metrics `json:"best,omitempty"`
	BestStep  int64   `json:"best_step,omitempty"`
	Worse     int     `json:"worse,omitempty"` // evaluations since the best one
	Stopped   bool    `json:"stopped,omitempty"`
}

// count adds a step that was applied.
func (c *control) count(m Metrics) {
	c.Applied++
	c.LossSum += m[LossKey]
	c.Tokens += m[TokensKey]
}

func (c *control) encode() (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("state of the run's decisions: %w", err)
	}
	return string(b), nil
}

func decodeControl(text string) (control, error) {
	var c control
	if text == "" {
		return c, nil // of a checkpoint from before there were decisions
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("%w: state of the run's decisions: %w", checkpoint.ErrCorrupt, err)
	}
	return c, nil
}
