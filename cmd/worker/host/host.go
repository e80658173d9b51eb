// Package host runs Tempera's workers in one process: one worker for workflows
// and one for each class of activity, with a log, health endpoints and metrics.
//
// Start reading at Run.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"tempera/infra/artifact"
	"tempera/infra/artifact/cache"
	"tempera/infra/artifact/minio"
	"tempera/infra/devstack"
	"tempera/infra/telemetry"
	"tempera/infra/temporalx"
	"tempera/training/kernel"
)

// Options of a worker process. Zero fields take the defaults.
type Options struct {
	Endpoints devstack.Endpoints
	Queues    []string // of workflow, cpu, gpu; workflow and cpu
	// Slots are how many activities run at a time on the cpu queue, and on the
	// gpu queue where it has no GPUs; 1. One training takes every core.
	Slots         int
	GPUs          GPUs          // that the queue gpu offers, a slot each
	Threads       int           // cores for one activity; all of them divided by Slots
	Level         kernel.Level  // CPU features for the kernels; the fastest that the CPU has
	WorkflowSlots int           // workflow tasks at a time; 200
	Health        string        // address of /healthz, /readyz and /metrics; "" serves none
	HealthFile    string        // where the address is written; "" nowhere
	Data          string        // required: folder for the read cache and scratch files
	Downloads     string        // folder for data sets that are fetched once; devstack.Downloads()
	Cache         string        // folder of the read cache; cache in Data
	CacheBytes    int64         // 8 GiB
	Grace         time.Duration // for running stages to checkpoint at the stop; 60 s
	StartLimit    time.Duration // how long the servers may be away at the start; 60 s
	// Deployment pins runs to the version of the worker that started them; a zero
	// value runs unversioned.
	Deployment worker.WorkerDeploymentVersion
	Log        *slog.Logger
}

// The names that Options.Queues takes.
const (
	WorkflowQueue = "workflow"
	CPUQueue      = "cpu"
	GPUQueue      = "gpu"
)

// Validate returns every fault at once.
func (o Options) Validate() error {
	var faults []error
	for _, q := range o.Queues {
		if !slices.Contains([]string{WorkflowQueue, CPUQueue, GPUQueue}, q) {
			faults = append(faults, fmt.Errorf("queue %q: want %s, %s or %s", q, WorkflowQueue, CPUQueue, GPUQueue))
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"slots", int64(o.Slots)},
		{"threads", int64(o.Threads)},
		{"workflow slots", int64(o.WorkflowSlots)},
		{"cache size", o.CacheBytes},
		{"grace", int64(o.Grace)},
		{"start limit", int64(o.StartLimit)},
	} {
		if n.value < 0 {
			faults = append(faults, fmt.Errorf("%s: want no negative value", n.name))
		}
	}
	if _, err := o.Level.Resolve(); err != nil {
		faults = append(faults, err)
	}
	if (o.Deployment.DeploymentName == "") != (o.Deployment.BuildID == "") {
		faults = append(faults, errors.New("a deployment wants a name and a build id, or neither"))
	}
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	if len(o.Queues) == 0 {
		o.Queues = []string{WorkflowQueue, CPUQueue}
	}
	if o.Slots == 0 {
		o.Slots = 1
	}
	if o.Threads == 0 {
		o.Threads = max(1, runtime.NumCPU()/o.Slots)
	}
	if o.Cache == "" {
		o.Cache = filepath.Join(o.Data, "cache")
	}
	if o.WorkflowSlots == 0 {
		o.WorkflowSlots = 200
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 30
	}
	if o.Grace == 0 {
		o.Grace = 60 * time.Second
	}
	if o.StartLimit == 0 {
		o.StartLimit = 60 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Run works until ctx is done, then stops gracefully: no new tasks are taken,
// running stages are asked to checkpoint and have Options.Grace to do so.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o = o.withDefaults()
	metrics, err := telemetry.NewMetrics()
	if err != nil {
		return err
	}
	servers, err := o.connect(ctx, metrics)
	if err != nil {
		return err
	}
	defer servers.temporal.Close()

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	workers, err := o.workers(servers, metrics, fail)
	if err != nil {
		return err
	}
	for i, w := range workers {
		if err := w.Start(); err != nil {
			stopAll(workers[:i])
			return fmt.Errorf("start worker: %w", err)
		}
	}
	endpoints, err := o.serve(servers, metrics)
	if err != nil {
		stopAll(workers)
		return err
	}
	o.Log.Info("worker is ready", "queues", strings.Join(o.Queues, ","), "slots", o.Slots, "temporal", o.Endpoints.Temporal.Address,
		"store", o.Endpoints.S3.Endpoint, "health", endpoints.address(), "pid", os.Getpid())

	<-ctx.Done()
	cause := context.Cause(ctx)
	o.Log.Info("worker stops; running stages may checkpoint", "grace", o.Grace)
	began := time.Now()
	stopAll(workers)
	o.Log.Info("worker has stopped", "seconds", time.Since(began).Seconds())
	if errors.Is(cause, context.Canceled) {
		cause = nil // asked to stop
	}
	return errors.Join(cause, endpoints.close())
}

// stopAll stops the workers at the same time, so that their graces overlap.
func stopAll(workers []worker.Worker) {
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(w.Stop)
	}
	wg.Wait()
}

// servers are the connections of the process.
type servers struct {
	temporal client.Client
	bucket   *minio.Store
	store    artifact.Store // the bucket behind the read cache
}

// connect waits for both servers, up to Options.StartLimit: a worker may be
// started together with them.
func (o Options) connect(ctx context.Context, m *telemetry.Metrics) (*servers, error) {
	ctx, cancel := context.WithTimeout(ctx, o.StartLimit)
	defer cancel()
	dial := o.Endpoints.Temporal.Options()
	dial.Log, dial.Metrics = o.Log, m.SDK()
	s := &servers{}
	err := o.patiently(ctx, func() (err error) {
		if s.temporal, err = temporalx.Dial(ctx, dial); err != nil {
			return err
		}
		if err := temporalx.VerifySearchAttributes(ctx, s.temporal, o.Endpoints.Temporal.Namespace); err != nil {
			s.temporal.Close()
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = o.patiently(ctx, func() (err error) {
		s.bucket, err = minio.Open(ctx, o.Endpoints.S3.Options())
		return err
	})
	if err != nil {
		s.temporal.Close()
		return nil, err
	}
	if s.store, err = cache.New(s.bucket, o.Cache, o.CacheBytes); err != nil {
		s.temporal.Close()
		return nil, err
	}
	return s, nil
}

// patiently tries again what fails because a server is away, and says so once.
// Refusals are final.
func (o Options) patiently(ctx context.Context, try func() error) error {
	for n := 0; ; n++ {
		err := try()
		away := errors.Is(err, temporalx.ErrUnreachable) || errors.Is(err, artifact.ErrTransient)
		if err == nil || !away || ctx.Err() != nil {
			return err
		}
		if n == 0 {
			o.Log.Warn("waiting for a server", "limit", o.StartLimit, "error", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// health is what serve started, if anything.
type health struct{ endpoints *telemetry.Endpoints }

func (h health) address() string {
	if h.endpoints == nil {
		return ""
	}
	return h.endpoints.Address()
}

func (h health) close() error {
	if h.endpoints == nil {
		return nil
	}
	return h.endpoints.Close()
}

func (o Options) serve(s *servers, m *telemetry.Metrics) (health, error) {
	if o.Health == "" {
		return health{}, nil
	}
	e, err := telemetry.Serve(o.Health, m, []telemetry.Check{
		{Name: "temporal", Ready: func(ctx context.Context) error {
			_, err := s.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
		{Name: "store", Ready: s.bucket.Check},
	})
	if err != nil {
		return health{}, err
	}
	if o.HealthFile != "" {
		err := os.MkdirAll(filepath.Dir(o.HealthFile), 0o755)
		if err == nil {
			err = os.WriteFile(o.HealthFile, []byte(e.Address()+"\n"), 0o644)
		}
		if err != nil {
			return health{}, errors.Join(fmt.Errorf("health file: %w", err), e.Close())
		}
	}
	return health{e}, nil
}
