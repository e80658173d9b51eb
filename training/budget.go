package training

import (
	"context"
	"fmt"
	"time"
)

// Steps are timed, after the first two, before those of a run with a budget of
// time are decided: the warm-up, which is the same whatever the number, but at
// least probeSteps, and no longer than probeShare of the time. The first steps
// alone are slower than most.
const (
	probeSteps = 20
	probeShare = 0.1
)

// slack is the share of the remaining time that is planned for.
const slack = 0.97

// decide turns Config.Minutes into a number of steps once the speed is known.
// The number is in the checkpoint that is written then, so that a run that
// resumes keeps it: from there on nothing depends on the clock.
func (r *run) decide(ctx context.Context, done int64) error {
	if r.config.Minutes == 0 || r.control.Steps > 0 {
		return nil
	}
	switch n := done - r.began; {
	case n < 2:
		r.probe = time.Now()
		return nil
	case !r.whole(done), n < probeSteps, n < r.config.Schedule.Warmup && time.Since(r.start).Minutes() < probeShare*r.config.Minutes:
		return nil
	}
	perStep := time.Since(r.probe).Seconds() / float64(done-r.began-1)
	left := 60*r.config.Minutes - time.Since(r.start).Seconds()
	if e := r.Evaluation; e != nil {
		began := time.Now()
		if _, err := e.Run(ctx); err != nil {
			return fmt.Errorf("time an evaluation: %w", err)
		}
		cost := time.Since(began).Seconds()
		r.timer.exclude(time.Since(began))
		left -= 2 * cost // this one, and that after the last step
		perStep += cost / float64(e.Every)
	}
	r.control.Steps, r.control.DecidedAt = done+max(1, int64(slack*left/perStep)), done
	r.settleSteps()
	if r.saver == nil {
		return nil
	}
	if err := r.saver.wait(); err != nil {
		return err
	}
	if err := r.begin(ctx, done); err != nil {
		return err
	}
	return r.saver.wait()
}

// settleSteps makes the decided number of steps that of the run.
func (r *run) settleSteps() {
	if r.control.Steps == 0 {
		return
	}
	r.config.Steps = r.control.Steps
	r.config.Schedule.Steps = r.control.Steps
}
