package bench

import (
	"slices"
	"time"

	"tempera/training"
)

// sizedObjective has what it needs predicted, as trainings outside of benchmarks have.
type sizedObjective interface {
	training.Objective
	training.Sized
}

// stopwatch is an objective that notes when its steps begin and end. Between two steps the loop waits for a batch and begins checkpoints.
type stopwatch struct {
	sizedObjective
	begin, end []time.Time
}

func (s *stopwatch) Step(step int64, b *training.Batch) (training.Metrics, error) {
	s.begin = append(s.begin, time.Now())
	return s.sizedObjective.Step(step, b)
}

func (s *stopwatch) Updated(step int64) error {
	err := s.sizedObjective.Updated(step)
	s.end = append(s.end, time.Now())
	return err
}

// span is one step with the wait before it.
type span struct {
	from, to   time.Time
	wait, work time.Duration
}

// spans lists the steps but the first skip ones.
func (s *stopwatch) spans(skip int) []span {
	var out []span
	for i := max(1, skip); i < len(s.end); i++ {
		out = append(out, span{s.end[i-1], s.end[i], s.begin[i].Sub(s.end[i-1]), s.end[i].Sub(s.begin[i])})
	}
	return out
}

// median of durations; 0 of none.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

func milliseconds(d time.Duration) float64 { return round(float64(d.Nanoseconds())/1e6, 3) }
