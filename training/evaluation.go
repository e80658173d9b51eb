package training

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"tempera/training/device"
	"tempera/training/optim"
)

// Evaluation measures the model on held-out data on the way.
type Evaluation struct {
	Every int64 // steps; the last step is always followed by one
	// Run measures the parameters as they are and changes nothing. What it returns
	// must be a function of the parameters alone.
	Run func(ctx context.Context) (Metrics, error)
	// Score names the metric that tells which parameters are the best; LowerWins
	// says that it is one to be small.
	Score     string
	LowerWins bool
	// Patience ends the run after so many evaluations in a row without a better
	// score; 0: never.
	Patience int
	// KeepBest makes the parameters with the best score the result, instead of the last ones.
	KeepBest bool
}

func (e *Evaluation) validate() error {
	if e == nil {
		return nil
	}
	var faults []error
	if e.Every < 1 {
		faults = append(faults, fmt.Errorf("evaluation is every %d steps: give 1 or more", e.Every))
	}
	if e.Patience < 0 {
		faults = append(faults, fmt.Errorf("patience is %d: give 1 or more evaluations, or 0 for none", e.Patience))
	}
	if e.Score == "" && (e.Patience > 0 || e.KeepBest) {
		faults = append(faults, errors.New("patience and the best parameters need a score: name a metric"))
	}
	return errors.Join(faults...)
}

// better tells whether a score beats the best one so far.
func (e *Evaluation) better(score float64, best Metrics) bool {
	old, seen := best[e.Score]
	if !seen {
		return true
	}
	if e.LowerWins {
		return score < old
	}
	return score > old
}

// keepsakes are copies of the parameters with the best score. They live on the
// device and are part of every checkpoint.
type keepsakes struct {
	backend device.Backend
	live    []*device.Value
	kept    []optim.Tensor
}

func newKeepsakes(b device.Backend, o Objective) (*keepsakes, error) {
	k := &keepsakes{backend: b}
	for _, p := range o.Params() {
		if p.Frozen {
			continue
		}
		v, err := device.New(b, p.Value.Desc())
		if err != nil {
			return nil, fmt.Errorf("copy of %s for the best parameters: %w", p.Name, err)
		}
		k.live, k.kept = append(k.live, p.Value), append(k.kept, optim.Tensor{Name: p.Name, Value: v})
	}
	return k, nil
}

func (k *keepsakes) keep() {
	for i, v := range k.live {
		k.backend.Copy(k.kept[i].Value, v)
	}
}

func (k *keepsakes) restore() error {
	for i, v := range k.live {
		k.backend.Copy(v, k.kept[i].Value)
	}
	return k.backend.Sync()
}

// evaluate measures the model at a step boundary, if it is time, and decides
// whether the run ends there.
func (r *run) evaluate(ctx context.Context, done int64) error {
	e := r.Evaluation
	if e == nil || done == 0 || done == r.control.Evaluated || done%e.Every != 0 && done != r.config.Steps {
		return nil
	}
	began := time.Now()
	m, err := e.Run(ctx)
	if err != nil {
		return fmt.Errorf("evaluate after step %d: %w", done, err)
	}
	c := &r.control
	c.Evaluated, c.Latest = done, m
	if e.Score != "" {
		score, ok := m[e.Score]
		if !ok || math.IsNaN(score) {
			return fmt.Errorf("evaluate after step %d: %s is %v: it cannot be a score", done, e.Score, score)
		}
		c.Worse++
		if e.better(score, c.Best) {
			c.Best, c.BestStep, c.Worse = m, done, 0
			if r.best != nil {
				r.best.keep()
			}
		}
		c.Stopped = e.Patience > 0 && c.Worse >= e.Patience
	}
	r.timer.exclude(time.Since(began))
	return r.write(done-1, m)
}

// write adds metrics to those of the step that was done last.
func (r *run) write(step int64, more Metrics) error {
	if r.row == nil || r.rowOf != step {
		r.row, r.rowOf = Metrics{}, step
		maps.Copy(r.row, r.seen)
	}
	maps.Copy(r.row, more)
	if r.Metrics == nil {
		return nil
	}
	if err := r.Metrics.Write(step, r.row); err != nil {
		return fmt.Errorf("write the metrics of step %d: %w", step, err)
	}
	return nil
}
