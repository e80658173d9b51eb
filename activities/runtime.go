package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"tempera/infra/artifact"
	"tempera/training/device/accelerator"
	"tempera/training/kernel"
	"tempera/workflows/stage"
)

// Runtime runs kinds as Temporal activities, one activity type for each kind.
// Around a kind's work it puts all that durability needs: the look-up of an
// earlier result, heartbeats on a timer of their own, the resume point, the log
// and metrics of the attempt in the run folder, error classes, and the commit.
type Runtime struct {
	// Store keeps results, checkpoints and run folders; reads of blobs should go
	// through a cache.
	Store artifact.Store
	// Client is what Plan, AwaitStage and ProgressOf ask; kinds do not need it.
	Client client.Client
	// Kinds are what the worker can run.
	Kinds *Catalog
	// Scratch is the folder in which attempts get theirs; "" is the system's.
	Scratch string
	// Data is the folder of data sets that are installed once, see Task.Data.
	Data string
	// Threads is how many cores a kind may keep busy, see Task.Threads; 0 is all.
	Threads int
	// GPUs are lent to stages of the queue gpu; nil: none.
	GPUs *accelerator.Pool
	// GPULost is told of a GPU that has failed: work goes on in another process.
	GPULost func(error)
	// Level is the CPU features that kernels use, see Task.Level.
	Level kernel.Level
	// Deployment is the version of the worker, to which the runs that it starts
	// are pinned; zero: none.
	Deployment worker.WorkerDeploymentVersion
	// Console returns where a folder of the store can be looked at; nil: nowhere.
	Console func(folder string) string
	// Log receives what stages log; nil is slog.Default().
	Log *slog.Logger

	folders folders
}

// RegisterKinds lets a worker run every kind, each by its own name. It is for
// the workers of the queues cpu and gpu.
func (r *Runtime) RegisterKinds(w worker.ActivityRegistry) {
	for _, name := range r.Kinds.Names() {
		k := r.Kinds.kinds[name]
		run := func(ctx context.Context, q stage.Request) (stage.Result, error) { return r.run(ctx, k, q) }
		w.RegisterActivityWithOptions(run, activity.RegisterOptions{Name: name})
	}
}

func (r *Runtime) logger() *slog.Logger {
	if r.Log == nil {
		return slog.Default()
	}
	return r.Log
}

// attempt is one execution of a stage, or of one shard of it.
type attempt struct {
	runtime  *Runtime
	kind     Kind
	request  stage.Request
	name     string // for logs: the stage, and the shard where there is one
	number   int32  // counts from 1
	began    time.Time
	progress atomic.Pointer[Progress]
	log      *attemptLog
	points   *checkpoints
	metrics  *metricsLog
}

// run is the activity. It returns what was committed, by this attempt or by an
// earlier one.
func (r *Runtime) run(ctx context.Context, k Kind, q stage.Request) (_ stage.Result, err error) {
	info := activity.GetInfo(ctx)
	a := &attempt{runtime: r, kind: k, request: q, name: taskName(q), number: info.Attempt, began: time.Now()}
	a.log = newAttemptLog(a)
	a.log.worker.Debug("attempt begins")
	defer func() { a.log.worker.Debug("attempt ends", "error", err) }()
	// A shard is looked up by the list of what is committed, see ShardPlan; only
	// an attempt after a lost one can find a commit here.
	if q.Shard == nil || info.Attempt > 1 {
		if known, found, err := a.lookUp(ctx); err != nil || found {
			return known, failure(err)
		}
	}
	a.log.keep()
	a.points = newCheckpoints(a)
	a.metrics = newMetricsLog(a)
	stopBeats := a.beat(ctx)
	defer stopBeats()

	var result stage.Result
	made, err := a.work(ctx, info)
	if err == nil {
		result, err = a.commit(ctx, made)
	}
	if err != nil {
		err = a.interrupted(ctx, err)
		a.log.Error("attempt ended without a result", "error", err, "seconds", time.Since(a.began).Seconds())
	}
	a.log.close(ctx, err != nil)
	if err == nil {
		a.points.clear(ctx)
	}
	return result, failure(err)
}

// interrupted tells a stage that was cut off by its stopping worker from one
// that was cancelled: the server knows of a cancellation only.
func (a *attempt) interrupted(ctx context.Context, err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return fmt.Errorf("%w (%w)", ErrStopped, err)
	default:
		return err
	}
}

// taskName names the stage and, of a mapped one, the shard.
func taskName(q stage.Request) string {
	if q.Shard == nil {
		return q.Stage
	}
	return fmt.Sprintf("%s/shard-%05d", q.Stage, q.Shard.Index)
}

// deadlineMargin is kept for reporting an attempt that exceeds its time.
const deadlineMargin = 500 * time.Millisecond

// work runs the kind in a scratch folder and turns its panic into an error.
func (a *attempt) work(ctx context.Context, info activity.Info) (_ *stage.Result, err error) {
	scratch, err := a.runtime.takeFolder()
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	defer func() {
		if e := a.runtime.giveFolder(scratch); e != nil {
			a.log.Warn("scratch folder stays", "folder", scratch, "error", e)
		}
	}()
	var cancel context.CancelFunc
	ctx, cancel = context.WithDeadline(ctx, info.Deadline.Add(-deadlineMargin))
	defer cancel()
	t := &Task{
		Request: a.request, Store: a.runtime.Store, Log: a.log.Logger, Scratch: scratch,
		Data: a.runtime.Data, Threads: cmp.Or(a.runtime.Threads, runtime.NumCPU()), Level: a.runtime.Level,
		Checkpoints: a.points, Metrics: a.metrics,
		Progress: func(p Progress) {
			a.progress.Store(&p)
			a.log.worker.Debug("progress", "done", p.Done, "total", p.Total)
		},
		Result:   &stage.Result{Key: a.request.Key},
		Stopping: activity.GetWorkerStopChannel(ctx),
	}
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("panic", "value", p, "stack", string(debug.Stack()))
			err = &panicked{p}
		}
		err = errors.Join(err, a.metrics.close(ctx))
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("the attempt exceeded its timeout of %s (retry.timeout): %w", info.Deadline.Sub(info.StartedTime).Round(time.Millisecond), err)
		}
	}()
	gpu, err := a.lease(ctx)
	if err != nil {
		return nil, err
	}
	if gpu != nil {
		t.GPU, t.Group = gpu.Root(), gpu.Group
		defer func() {
			err = gpu.Class(errors.Join(err, gpu.Close()))
			if errors.Is(err, accelerator.ErrLost) && a.runtime.GPULost != nil {
				a.runtime.GPULost(err)
			}
		}()
	}
	began := time.Now()
	if err := a.kind.Run(ctx, t); err != nil {
		return nil, err
	}
	t.Result.Key, t.Result.Cached, t.Result.Seconds = a.request.Key, false, time.Since(began).Seconds()
	return t.Result, a.checkResult(t.Result)
}

// checkResult holds a kind to its descriptor, before anything is committed.
func (a *attempt) checkResult(res *stage.Result) error {
	var faults []error
	d := a.kind.Describe()
	for _, p := range d.Outputs {
		got, ok := res.Outputs[p.Name]
		if !ok && !p.Optional {
			faults = append(faults, fmt.Errorf("kind %s made no output %s", d.Name, p.Name))
		}
		if ok && p.Type != "" && got.Type != p.Type {
			faults = append(faults, fmt.Errorf("kind %s made output %s as %q, not as %q", d.Name, p.Name, got.Type, p.Type))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(res.Outputs)) {
		if !slices.ContainsFunc(d.Outputs, func(p stage.Port) bool { return p.Name == name }) {
			faults = append(faults, fmt.Errorf("kind %s has no output %s", d.Name, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(res.Metrics)) {
		if v := res.Metrics[name]; math.IsNaN(v) || math.IsInf(v, 0) {
			faults = append(faults, fmt.Errorf("metric %s is %v", name, v))
		}
	}
	return errors.Join(faults...)
}

// panicked is a panic of a kind. Its stack is in the attempt's log.
type panicked struct{ value any }

func (p *panicked) Error() string {
	return fmt.Sprintf("panic: %v (the stack is in the attempt's log)", p.value)
}
