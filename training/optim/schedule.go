package optim

import (
	"errors"
	"fmt"
	"math"
)

// Schedule is a learning rate that rises linearly from Peak/Warmup to Peak over
// Warmup steps and then falls along a half cosine to Floor times Peak at Steps.
type Schedule struct {
	Peak   float64 `json:"peak"`
	Warmup int64   `json:"warmup"`
	Steps  int64   `json:"steps"`
	Floor  float64 `json:"floor"` // share of Peak, in [0, 1]
}

// At returns the rate of a step; steps count from 0.
func (s Schedule) At(step int64) float64 {
	if step < s.Warmup {
		return s.Peak * float64(step+1) / float64(s.Warmup)
	}
	done := 1.0
	if s.Steps > s.Warmup {
		done = min(float64(step-s.Warmup)/float64(s.Steps-s.Warmup), 1)
	}
	return s.Peak * (s.Floor + (1-s.Floor)*0.5*(1+math.Cos(math.Pi*done)))
}

// Validate returns all faults at once.
func (s Schedule) Validate() error {
	var faults []error
	if !(s.Peak > 0) || math.IsInf(s.Peak, 0) {
		faults = append(faults, fmt.Errorf("the learning rate is %v: give a positive number, such as 1e-3", s.Peak))
	}
	if s.Warmup < 0 || s.Warmup > s.Steps {
		faults = append(faults, fmt.Errorf("warm-up takes %d steps of %d: give 0 up to the number of steps", s.Warmup, s.Steps))
	}
	if !(s.Floor >= 0 && s.Floor <= 1) {
		faults = append(faults, fmt.Errorf("the schedule's floor is %v: give a share of the peak, 0 to 1", s.Floor))
	}
	return errors.Join(faults...)
}
