package training

import (
	"errors"
	"fmt"
	"math"
)

// ExplodedError is returned by the Step of a Divided objective, wrapped, where the parameters have moved farther than it allows, and by Guarded's Open
// where they had before. The loop begins the iteration that moved them again with half the learning rate, once in a run; the second time the error is
// final. The run is deterministic, so trying again does not help.
type ExplodedError struct {
	What  string // what was measured
	Value float64
	Limit float64
}

func (e *ExplodedError) Error() string {
	return fmt.Sprintf("%s is %.4g, above the limit of %.4g", e.What, e.Value, e.Limit)
}

// retreatShare is what a retreat leaves of the learning rate.
const retreatShare = 0.5

// Retreat is an explosion and what was done about it: from step To on the learning rate is half of what it was.
type Retreat struct {
	Step  int64   `json:"step"`
	What  string  `json:"what"`
	Value float64 `json:"value"` // -1: no number
	Limit float64 `json:"limit"`
	To    int64   `json:"to"`
}

func (t Retreat) String() string {
	value := fmt.Sprintf("%.4g, above the limit of %.4g", t.Value, t.Limit)
	if t.Value < 0 {
		value = "no number"
	}
	return fmt.Sprintf("%s was %s at step %d: back to step %d with half the learning rate", t.What, value, t.Step, t.To)
}

// anchors tells whether the run keeps a state that it may go back to.
func (r *run) anchors() bool {
	_, divided := r.Objective.(Divided)
	return divided || r.config.Spike != nil
}

// unopened tells whether an iteration begins at a step that the guard has not let pass yet.
func (r *run) unopened(step int64) bool {
	ended := r.control.Stopped || r.config.Steps > 0 && step >= r.config.Steps
	return r.guard != nil && r.opened != step && r.whole(step) && !ended
}

// retreated is the step to go on with after an error; the error again where it is no explosion.
func (r *run) retreated(step int64, err error) (int64, error) {
	var exploded *ExplodedError
	if !errors.As(err, &exploded) {
		return step, err
	}
	return r.retreat(step, exploded)
}

// retreat restores the anchor after an explosion and halves the rate. It returns the step to go on with.
func (r *run) retreat(step int64, exploded *ExplodedError) (int64, error) {
	if before := r.control.Retreat; before != nil {
		return 0, fmt.Errorf("step %d: %w, after %v: lower learning_rate, or the number of steps that learn from one batch", step, exploded, before)
	}
	if r.anchor == nil || r.anchor.step < 0 {
		return 0, fmt.Errorf("step %d: %w, and there is no iteration before to begin again", step, exploded)
	}
	c, err := decodeControl(r.anchor.control)
	if err != nil {
		return 0, err
	}
	c.Retreat = &Retreat{Step: step, What: exploded.What, Value: exploded.Value, Limit: exploded.Limit, To: r.anchor.step}
	if v := exploded.Value; math.IsNaN(v) || math.IsInf(v, 0) {
		c.Retreat.Value = -1
	}
	r.feed.stop()
	if err := r.anchor.restore(); err != nil {
		return 0, fmt.Errorf("go back to step %d: %w", r.anchor.step, err)
	}
	r.control, r.opened = c, -1
	if r.anchor.control, err = c.encode(); err != nil {
		return 0, err
	}
	r.startFeed(c.Retreat.To)
	if r.Progress != nil {
		r.Progress(c.Retreat.To, r.config.Steps, c.Retreat.String())
	}
	return c.Retreat.To, nil
}
