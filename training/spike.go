package training

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// SpikeOptions say when a loss or a gradient norm is a spike, and what becomes of
// it: the run goes back to its state at the last anchor, an early step whose
// number is a multiple of Every, and the batches around the spike are left out
// from then on (as Chowdhery et al. 2022, PaLM, section 5.1, did by hand).
//
// A measurement is a spike when it is above the median of the last Window steps
// by more than Factor times their median absolute deviation, which is taken to be
// at least 1 % of the median. Nothing is judged before half a window has been
// seen. All of it is a function of the metrics: neither the clock nor a crash
// changes which batches are left out.
type SpikeOptions struct {
	Window int     `json:"window"`
	Factor float64 `json:"factor"`
	Every  int64   `json:"every"` // steps between anchors; checkpoints are written at anchors only
	Skip   int64   `json:"skip"`  // batches left out: half of them before the spike
	Most   int     `json:"most"`  // rewinds; after them spikes are let through
}

// DefaultSpikes fit runs of thousands of steps.
func DefaultSpikes() SpikeOptions {
	return SpikeOptions{Window: 64, Factor: 12, Every: 50, Skip: 16, Most: 5}
}

// Validate returns all faults at once; no options have none.
func (o *SpikeOptions) Validate() error {
	if o == nil {
		return nil
	}
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(o.Window < 4 || o.Window > 1<<16, "spike.window is %d: give 4 to %d steps", o.Window, 1<<16)
	add(!(o.Factor > 0), "spike.factor is %v: give a positive number, such as 12", o.Factor)
	add(o.Every < 1, "spike.every is %d: give 1 or more steps", o.Every)
	add(o.Skip < 1, "spike.skip is %d: give 1 or more batches", o.Skip)
	add(o.Most < 1, "spike.most is %d: give 1 or more rewinds", o.Most)
	return errors.Join(faults...)
}

// Rewind is a spike and what was done about it.
type Rewind struct {
	Step  int64   `json:"step"` // whose measurement it was
	What  string  `json:"what"`
	Value float64 `json:"value"` // -1: no number
	Limit float64 `json:"limit"`
	To    int64   `json:"to"`    // the step that the run went back to
	First int64   `json:"first"` // the first batch that is left out
	Last  int64   `json:"last"`
}

func (r Rewind) String() string {
	value := fmt.Sprintf("%.4g, above the limit of %.4g", r.Value, r.Limit)
	if r.Value < 0 {
		value = "no number"
	}
	return fmt.Sprintf("%s was %s at step %d: back to step %d without batches %d to %d", r.What, value, r.Step, r.To, r.First, r.Last)
}

// interval is batches [Low, High).
type interval struct {
	Low  int64 `json:"low"`
	High int64 `json:"high"`
}

// batchOf is the batch that a step sees: the step-th of those that are not skipped.
func batchOf(skipped []interval, step int64) int64 {
	for _, s := range skipped {
		if step < s.Low {
			break
		}
		step += s.High - s.Low
	}
	return step
}

// skip adds an interval and keeps the list in order and disjoint.
func skip(list []interval, add interval) []interval {
	list = append(slices.Clone(list), add)
	slices.SortFunc(list, func(a, b interval) int { return int(a.Low - b.Low) })
	merged := list[:1]
	for _, s := range list[1:] {
		if last := &merged[len(merged)-1]; s.Low <= last.High {
			last.High = max(last.High, s.High)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// limit is what a measurement after recent ones may be at most; +Inf while there
// are too few of them.
func (o *SpikeOptions) limit(recent []float64) float64 {
	if len(recent) < o.Window/2 {
		return math.Inf(1)
	}
	middle := median(slices.Clone(recent))
	apart := make([]float64, len(recent))
	for i, v := range recent {
		apart[i] = math.Abs(v - middle)
	}
	return middle + o.Factor*max(median(apart), 0.01*math.Abs(middle))
}

// median sorts values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// spike judges the measurements of a step before its update. nil: all is well, or
// no rewind is left.
func (r *run) spike(step int64, m Metrics) *Rewind {
	o := r.config.Spike
	if o == nil || len(r.control.Rewinds) >= o.Most {
		return nil
	}
	for _, seen := range []struct {
		what   string
		recent *[]float64
	}{{LossKey, &r.control.Losses}, {normKey, &r.control.Norms}} {
		limit := o.limit(*seen.recent)
		v := m[seen.what]
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return &Rewind{Step: step, What: seen.what, Value: -1}
		case v > limit:
			return &Rewind{Step: step, What: seen.what, Value: v, Limit: limit}
		}
	}
	r.control.Losses = last(r.control.Losses, m[LossKey], o.Window)
	r.control.Norms = last(r.control.Norms, m[normKey], o.Window)
	return nil
}

// last appends a value to those of the last n steps.
func last(values []float64, v float64, n int) []float64 {
	if len(values) >= n {
		values = slices.Delete(values, 0, len(values)-n+1)
	}
	return append(values, v)
}

// anchored tells whether the run may go back to a step's beginning.
func (r *run) anchored(step int64) bool {
	o := r.config.Spike
	return r.whole(step) && (o == nil || step%o.Every == 0 || step == r.control.DecidedAt)
}

// rewind restores the anchor and leaves the batches around a spike out. It
// returns the step to go on with.
func (r *run) rewind(at Rewind) (int64, error) {
	o := r.config.Spike
	middle := batchOf(r.control.Skipped, at.Step)
	low := max(0, middle-o.Skip/2)
	at.To, at.First, at.Last = r.anchor.step, low, low+o.Skip-1
	c, err := decodeControl(r.anchor.control)
	if err != nil {
		return 0, err
	}
	c.Rewinds = append(slices.Clone(r.control.Rewinds), at)
	c.Skipped = skip(r.control.Skipped, interval{low, low + o.Skip})
	r.feed.stop()
	if err := r.anchor.restore(); err != nil {
		return 0, fmt.Errorf("go back to step %d: %w", r.anchor.step, err)
	}
	r.control = c
	if r.anchor.control, err = c.encode(); err != nil {
		return 0, err
	}
	r.startFeed(at.To)
	if r.Progress != nil {
		r.Progress(at.To, r.config.Steps, at.String())
	}
	return at.To, nil
}
