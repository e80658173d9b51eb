package activities

import (
	"cmp"
	"errors"
	"fmt"
	"math"
)

// syllabus is the stages of a training, in full: one where no curriculum is given.
type syllabus struct {
	stages []fitStage
	ends   []int64 // the last one is open
}

func (p fitParams) syllabus() syllabus {
	stages := p.Stages
	if len(stages) == 0 {
		stages = []fitStage{{}}
	}
	var s syllabus
	var end int64
	for i, st := range stages {
		if len(st.Weights) == 0 {
			st.Weights = p.Weights
		}
		st.Batch = cmp.Or(st.Batch, p.Batch)
		st.LearningRate = cmp.Or(st.LearningRate, p.LearningRate)
		end += st.Steps
		if i == len(stages)-1 {
			end = math.MaxInt64
		}
		s.stages, s.ends = append(s.stages, st), append(s.ends, end)
	}
	return s
}

// at returns the stage of a batch, and its place in it.
func (s syllabus) at(batch int64) (stage int, within int64) {
	var start int64
	for i, end := range s.ends {
		if batch < end {
			return i, batch - start
		}
		start = end
	}
	return len(s.ends) - 1, batch // not reached: the last stage has no end
}

// rate returns the share of the schedule's learning rate that a step takes; nil
// where all take the whole.
func (s syllabus) rate(p fitParams) func(step int64) float64 {
	if len(s.stages) == 1 {
		return nil
	}
	return func(step int64) float64 {
		k, _ := s.at(step)
		return s.stages[k].LearningRate / p.LearningRate
	}
}

// epochs adds up the epochs of the stages after a number of steps; of counts those
// of one stage.
func (s syllabus) epochs(steps int64, of func(stage int, steps int64) []float64) []float64 {
	var sum []float64
	var start int64
	for i, end := range s.ends {
		if steps <= start {
			break
		}
		for k, n := range of(i, min(steps, end)-start) {
			if k == len(sum) {
				sum = append(sum, 0)
			}
			sum[k] += n
		}
		start = end
	}
	return sum
}

func (s syllabus) validate(p fitParams) error {
	if len(p.Stages) == 0 {
		return nil
	}
	var faults []error
	var sum int64
	last := len(p.Stages) - 1
	for i, st := range p.Stages {
		sum += st.Steps
		if st.Steps == 0 && i < last {
			faults = append(faults, fmt.Errorf("stages[%d].steps is 0: only the last stage may take the rest", i))
		}
		if p.Objective != lmGoalName && (st.Context > 0 || st.Batch > 0) {
			faults = append(faults, fmt.Errorf("stages[%d] has a context or batch of its own, which only lm takes", i))
		}
	}
	open := p.Stages[last].Steps == 0
	switch {
	case p.Minutes > 0 && !open:
		faults = append(faults, errors.New("stages: with minutes, the last stage takes what is left: give it 0 steps"))
	case p.Minutes == 0 && open && sum >= p.Steps:
		faults = append(faults, fmt.Errorf("stages have %d steps before the last one, of %d in all: nothing is left for it", sum, p.Steps))
	case p.Minutes == 0 && !open && sum != p.Steps:
		faults = append(faults, fmt.Errorf("stages have %d steps in all, steps is %d: make them equal, or give the last stage 0 steps for the rest", sum, p.Steps))
	}
	return errors.Join(faults...)
}
