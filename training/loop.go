package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"time"

	"tempera/training/device"
	"tempera/training/optim"
)

// Loop trains an objective. The weights after a step are a function of the
// configuration, the batches and the initial weights: neither the number of
// threads nor checkpoints, stops and resumptions change a bit of them.
type Loop struct {
	Config      Config
	Backend     device.Backend
	Objective   Objective
	Batches     Batches
	Checkpoints Checkpoints // nil: nothing is kept and nothing resumed
	Metrics     interface { // nil: none are written
		// Write records the metrics of a step; one that is written again replaces the earlier one.
		Write(step int64, values map[string]float64) error
	}
	// Evaluation measures the model on the way; nil: it is not measured.
	Evaluation *Evaluation
	// RateShare scales the learning rate of a step; nil: 1 for all.
	RateShare func(step int64) float64
	Progress  func(done, total int64, note string) // nil: nobody looks; called after every step
	Stopping  <-chan struct{}                      // closed: write a checkpoint and return ErrStopped
	// Final gets the state after the last step, as a checkpoint holds it, for a run that goes on from there; nil: nobody wants it.
	Final   func(ctx context.Context, write func(io.Writer) error) error
	Carry   *Carry       // makes the run one leg of a training; nil: it is the whole one
	Planned func(Memory) // nil: nobody looks; called before memory is allocated, also if it is too much
}

// Result is what a finished loop tells.
type Result struct {
	Steps    int64    // all steps of the run
	Resumed  int64    // the step that this execution started from
	Metrics  Metrics  // of the last step
	Early    bool     // the score no longer got better, and the run ended before its time
	Latest   Metrics  // of the last evaluation
	Best     Metrics  // of the evaluation with the best score
	BestStep int64    // after which it was
	Rewinds  []Rewind // spikes that were rewound
	Retreat  *Retreat // an explosion after which the rate was halved; nil: none
	Dropped  int64    // steps that were not applied, their loss being no number
	Applied  int64    // steps that were, in this run alone where it is a leg
	Loss     float64  // mean of theirs
	Tokens   float64  // that they saw; 0 where the batches do not tell
	Memory   Memory   // as predicted; zero where the objective is not Sized
}

// run is the state of one execution of a loop.
type run struct {
	*Loop
	config    Config
	optimizer optim.Optimizer
	saver     *saver     // nil: no checkpoints
	anchor    *snapshot  // where a spike or an explosion leads back to; nil: there is no way back
	guard     Guarded    // nil: iterations are not looked at before they begin
	opened    int64      // the step whose iteration guard let pass last; -1: none
	best      *keepsakes // nil: the best parameters are not kept
	control   control
	feed      *feed
	history   history
	timer     stepTimer
	last      time.Time // when the last checkpoint began
	seen      Metrics
	needed    Memory
	clones    int             // snapshots that may stay on the device
	parcels   []device.Parcel // of batches that are sent to the device; none: they are not
	row       Metrics         // as it was written last
	rowOf     int64
	began     int64     // the step that this execution started from
	start     time.Time // when it did
	probe     time.Time // when the timing of steps began
}

// Run trains until Config.Steps are done, starting from the newest checkpoint.
// When Stopping is closed or ctx is cancelled, it writes a checkpoint first and
// returns an error that wraps ErrStopped. A *DivergedError and ErrOtherConfig are
// final; other errors may pass when it is run again.
func (l *Loop) Run(ctx context.Context) (_ Result, err error) {
	r := &run{Loop: l, config: l.Config.resolve()}
	if err := errors.Join(l.Config.Validate(), l.Evaluation.validate()); err != nil {
		return Result{}, fmt.Errorf("training configuration: %w", err)
	}
	defer func() {
		if fault := r.free(); fault != nil {
			err = errors.Join(err, fault)
		}
	}()
	start, err := r.prepare(ctx)
	if err != nil {
		return Result{}, err
	}
	r.began, r.start, r.last = start, time.Now(), time.Now()
	r.startFeed(start)
	defer func() { r.feed.stop() }()
	r.timer.start()
	for step := start; ; {
		if cause := r.stopped(ctx); cause != nil {
			return Result{}, r.halt(ctx, step, cause)
		}
		if err := r.reach(ctx, step); err != nil {
			if ctx.Err() != nil {
				continue // what was cut off is done again after the resume
			}
			if step, err = r.retreated(step, err); err != nil {
				return Result{}, errors.Join(err, r.settle())
			}
			continue
		}
		if r.control.Stopped || r.config.Steps > 0 && step >= r.config.Steps {
			result, err := r.end(ctx, step)
			if err != nil && ctx.Err() != nil {
				continue // as above: the checkpoint that was cut off is written again
			}
			return result, err
		}
		if err := r.checkpoint(ctx, step); err != nil {
			return Result{}, err
		}
		spike, err := r.step(step)
		switch {
		case spike != nil:
			step, err = r.rewind(*spike)
		case err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			continue // the step was cut off before it moved anything
		case err != nil:
			step, err = r.retreated(step, err)
		default:
			step++
		}
		if err != nil {
			return Result{}, errors.Join(err, r.settle())
		}
	}
}

// reach does what is due when a number of steps are done.
func (r *run) reach(ctx context.Context, done int64) error {
	if err := r.decide(ctx, done); err != nil {
		return err
	}
	if err := r.evaluate(ctx, done); err != nil {
		return err
	}
	if r.unopened(done) {
		if err := r.guard.Open(done); err != nil {
			return fmt.Errorf("step %d: %w", done, err)
		}
		r.opened = done
	}
	if r.anchor == nil || !r.anchored(done) || r.anchor.step == done {
		return nil
	}
	decisions, err := r.control.encode()
	if err != nil {
		return err
	}
	return r.anchor.take(done, decisions)
}

// end gives the state to those who want it, waits for what is being written and returns what the run found.
func (r *run) end(ctx context.Context, done int64) (Result, error) {
	if err := errors.Join(r.handOver(ctx, done), r.give(ctx, done), r.settle()); err != nil {
		return Result{}, err
	}
	c := r.control
	if r.best != nil && c.BestStep > 0 && c.BestStep != done {
		if err := r.best.restore(); err != nil {
			return Result{}, fmt.Errorf("take the parameters of step %d: %w", c.BestStep, err)
		}
	}
	return Result{
		Steps: done, Resumed: r.began, Metrics: r.seen, Early: c.Stopped && done < r.config.Steps,
		Latest: c.Latest, Best: c.Best, BestStep: c.BestStep, Rewinds: c.Rewinds, Retreat: c.Retreat, Dropped: c.Dropped,
		Applied: c.Applied, Loss: c.LossSum / float64(max(1, c.Applied)), Tokens: c.Tokens, Memory: r.needed,
	}, nil
}

// startFeed prepares the batches from a step on, without those that are skipped.
func (r *run) startFeed(from int64) {
	skipped, to := r.control.Skipped, r.config.Steps
	if to == 0 {
		to = math.MaxInt64 // it is not decided yet
	}
	r.feed = startFeed(func(step int64, b *Batch) error { return r.Batches(batchOf(skipped, step), b) }, r.parcels, from, to)
}

// prepare makes the optimiser and restores the newest checkpoint. It returns the
// step to go on with.
func (r *run) prepare(ctx context.Context) (int64, error) {
	if err := r.weigh(); err != nil {
		return 0, err
	}
	if err := r.packParcels(); err != nil {
		return 0, err
	}
	optimizer, err := optim.New(r.Backend, r.Objective.Params(), r.config.AdamW)
	if err != nil {
		return 0, err
	}
	r.optimizer = optimizer
	if o, ok := r.Objective.(Rated); ok {
		optimizer.ScaleRates(o.RateShare)
	}
	if _, ok := r.Objective.(Costed); ok && r.Metrics != nil && r.config.PeakFLOPS == 0 {
		if r.config.PeakFLOPS, err = measurePeak(r.Backend); err != nil {
			return 0, err
		}
		if s, ok := r.Objective.(Spread); ok {
			r.config.PeakFLOPS *= float64(s.Devices())
		}
	}
	if r.Evaluation != nil && r.Evaluation.KeepBest {
		if r.best, err = newKeepsakes(r.Backend, r.Objective); err != nil {
			return 0, err
		}
	}
	live := r.live()
	r.opened = -1
	if g, ok := r.Objective.(Guarded); ok && g.Guards() {
		r.guard = g
	}
	if r.anchors() {
		if r.anchor, err = newSnapshot(r.Backend, r.config, live); err != nil {
			return 0, err
		}
		r.anchor.step = -1
		if err := r.clone(r.anchor); err != nil {
			return 0, err
		}
	}
	if r.Checkpoints == nil {
		return r.take(ctx)
	}
	return r.resume(ctx, live)
}

// clone lets a snapshot stay on the device, if there is room for another.
func (r *run) clone(s *snapshot) error {
	if r.clones == 0 {
		return nil
	}
	r.clones--
	return s.onDevice()
}

// packParcels lets batches be sent to the device, if there is room.
func (r *run) packParcels() error {
	for range feedBatches {
		if r.needed.Ahead == 0 {
			break
		}
		p, err := r.Backend.(device.Ahead).NewParcel(int(r.needed.Ahead / feedBatches))
		if err != nil {
			return fmt.Errorf("memory for batches on %s: %w", r.Backend.Name(), err)
		}
		r.parcels = append(r.parcels, p)
	}
	return nil
}

// free gives memory of the device back, when nothing is being written.
func (r *run) free() error {
	errs := []error{r.settle(), r.anchor.free()}
	for _, p := range r.parcels {
		errs = append(errs, p.Free())
	}
	if r.saver != nil {
		errs = append(errs, r.saver.spare.free())
	}
	return errors.Join(errs...)
}

// live lists the tensors that are the state of the run.
func (r *run) live() []optim.Tensor {
	var live []optim.Tensor
	for _, p := range r.Objective.Params() {
		live = append(live, optim.Tensor{Name: "param." + p.Name, Value: p.Value})
	}
	live = append(live, r.beside()...)
	if r.best != nil {
		for _, t := range r.best.kept {
			live = append(live, optim.Tensor{Name: "best." + t.Name, Value: t.Value})
		}
	}
	return live
}

// resume restores the newest checkpoint. It returns the step to go on with.
func (r *run) resume(ctx context.Context, live []optim.Tensor) (int64, error) {
	spare, err := newSnapshot(r.Backend, r.config, live)
	if err == nil {
		err = r.clone(spare)
	}
	if err != nil {
		return 0, err
	}
	r.saver = newSaver(r.Checkpoints, spare)
	found, err := r.Checkpoints.Load(ctx, func(_ int64, src io.Reader) error { return spare.read(src) })
	if err != nil {
		return 0, fmt.Errorf("resume training: %w", err)
	}
	if !found {
		return r.take(ctx)
	}
	r.saver.saved = spare.step
	if r.control, err = decodeControl(spare.control); err != nil {
		return 0, err
	}
	r.settleSteps()
	return spare.step, spare.restore()
}

// step does one step and records it, unless it is a spike.
func (r *run) step(step int64) (*Rewind, error) {
	asked := time.Now()
	b, err := r.feed.next()
	r.timer.waited += time.Since(asked)
	if err != nil {
		return nil, fmt.Errorf("batch of step %d: %w", step, err)
	}
	if b.broken != "" && !r.config.DropNotFinite && r.config.Spike == nil {
		return nil, &DataError{Step: step, Batch: batchOf(r.control.Skipped, step), Array: b.broken}
	}
	r.optimizer.ZeroGrad()
	m, err := r.Objective.Step(step, b)
	idle := errors.Is(err, ErrIdle)
	if err == nil || idle {
		maps.Copy(m, b.notes)
	}
	r.feed.release(b)
	if idle {
		r.seen = m
		return nil, r.report(step, m)
	}
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", step, err)
	}
	lr := r.rate(step)
	m["lr"] = lr
	if r.config.Spike != nil { // the norm decides whether there is an update
		if m[normKey], err = r.optimizer.GradNorm(); err != nil {
			return nil, fmt.Errorf("step %d: %w", step, err)
		}
		if spike := r.spike(step, m); spike != nil {
			return spike, nil
		}
	}
	if fault := r.notFinite(step, m, LossKey); fault != nil {
		return nil, r.drop(step, fault)
	}
	if m[normKey], err = r.optimizer.Step(step, lr); err != nil {
		return nil, fmt.Errorf("step %d: %w", step, err)
	}
	if fault := r.notFinite(step, m, normKey); fault != nil {
		return nil, r.drop(step, fault)
	}
	r.control.InRow = 0
	if err := r.Objective.Updated(step); err != nil {
		return nil, fmt.Errorf("after step %d: %w", step, err)
	}
	r.control.count(m)
	r.history.add(step, m)
	r.seen = m
	return nil, r.report(step, m)
}

// normKey names the norm of the gradient in Metrics.
const normKey = "grad_norm"

// rate is the learning rate of a step.
func (r *run) rate(step int64) float64 {
	s := r.config.Schedule
	if r.config.Steps == 0 {
		s.Steps = math.MaxInt64 // it is not decided yet
	}
	rate := s.At(step)
	if r.RateShare != nil {
		rate *= r.RateShare(step)
	}
	if r.control.Retreat != nil {
		rate *= retreatShare
	}
	return rate
}

func (r *run) report(step int64, m Metrics) error {
	r.timer.steps++
	r.timer.tokens += m[TokensKey]
	done := step + 1
	if r.Progress != nil {
		r.Progress(done, r.config.Steps, fmt.Sprintf("loss %.4g", m[LossKey]))
	}
	if done%r.config.LogSteps != 0 && done != r.config.Steps {
		return nil
	}
	measured := maps.Clone(m) // Result's metrics are functions of the step; speed is not
	r.timer.measure(r, measured)
	if n := len(r.control.Rewinds); n > 0 {
		measured["rewinds"] = float64(n)
	}
	r.row = nil
	return r.write(step, measured)
}
