package training

import "time"

// stepTimer measures speed between two writings of metrics.
type stepTimer struct {
	since  time.Time
	steps  int64
	waited time.Duration // for batches
	tokens float64       // predicted, where the batches say how many
}

func (t *stepTimer) start() { *t = stepTimer{since: time.Now()} }

// exclude takes time out that was not spent on steps.
func (t *stepTimer) exclude(d time.Duration) { t.since = t.since.Add(d) }

// measure adds the speed since the last measurement to m and starts anew.
func (t *stepTimer) measure(r *run, m Metrics) {
	m["memory_mib"] = float64(heapBytes()) / (1 << 20)
	if needed := r.needed.Total(); needed > 0 {
		m["memory_predicted_mib"] = float64(needed) / (1 << 20)
	}
	if rss, ok := residentBytes(); ok {
		m["memory_rss_mib"] = float64(rss) / (1 << 20)
	}
	seconds := time.Since(t.since).Seconds()
	if t.steps > 0 && seconds > 0 {
		perStep := seconds / float64(t.steps)
		m["step_ms"] = 1e3 * perStep
		m["wait_ms"] = 1e3 * t.waited.Seconds() / float64(t.steps)
		m["samples_per_second"] = float64(r.config.BatchSize) / perStep
		if t.tokens > 0 {
			m["tokens_per_second"] = t.tokens / seconds
		}
		if c, ok := r.Objective.(Costed); ok {
			flops := c.StepFLOPs() / perStep
			m["gflops"] = flops / 1e9
			if r.config.PeakFLOPS > 0 {
				m["mfu"] = flops / r.config.PeakFLOPS
			}
		}
	}
	t.start()
}
