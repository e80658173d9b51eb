package host

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.temporal.io/sdk/worker"

	"tempera/infra/telemetry"
	"tempera/training/kernel"
)

// Flags are the flags that `worker` and `tempera worker` share.
type Flags struct {
	queues        []string
	slots         int
	gpus          string
	threads       int
	level         kernel.Level
	workflowSlots int
	health        string
	healthFile    string
	cache         string
	cacheMiB      int64
	grace         time.Duration
	startLimit    time.Duration
	deployment    string
	logFormat     string
	logLevel      string
}

// Add defines the flags.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.queues, "queues", []string{WorkflowQueue, CPUQueue}, "what to work on: workflow, cpu, gpu")
	fs.IntVar(&f.slots, "slots", 1, "stages, or shards of them, at a time on the queue cpu, and on the queue gpu without GPUs")
	fs.StringVar(&f.gpus, "gpus", "all", "GPUs to offer on the queue gpu, which has a slot for each: all, numbers as in 0,2, or none to serve it with the CPU")
	fs.IntVar(&f.threads, "threads", 0, "cores for one stage (default: all of them, divided by the slots)")
	fs.Var(&f.level, "cpu-level", "CPU features for the kernels, the same on every worker whose results should agree to the bit: portable, avx2 or avx512 "+
		"(default: the fastest that the CPU has, or $"+kernel.EnvLevel+")")
	fs.IntVar(&f.workflowSlots, "workflow-slots", 200, "workflow tasks at a time")
	fs.StringVar(&f.health, "health", "127.0.0.1:9464", "address of /healthz, /readyz and /metrics; \"\" serves none, port 0 takes a free one")
	fs.StringVar(&f.healthFile, "health-file", "", "file to write that address to")
	fs.StringVar(&f.cache, "cache", "", "folder of the read cache (default: in the data folder)")
	fs.Int64Var(&f.cacheMiB, "cache-mib", 8192, "bound of the read cache in MiB")
	fs.DurationVar(&f.grace, "grace", 60*time.Second, "how long running stages may take to checkpoint at the stop")
	fs.DurationVar(&f.startLimit, "start-limit", 60*time.Second, "how long to wait for the servers at the start")
	fs.StringVar(&f.deployment, "deployment", "", "name@build: pin runs to this version of the worker (Temporal worker deployments)")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

// Options returns what the flags say, or every fault of them; the log goes to w.
func (f *Flags) Options(w io.Writer) (Options, error) {
	log, err := telemetry.NewLogger(w, f.logFormat, f.logLevel)
	o := Options{
		Queues: f.queues, Slots: f.slots, Threads: f.threads, Level: f.level, WorkflowSlots: f.workflowSlots,
		Health: f.health, HealthFile: f.healthFile, Cache: f.cache, CacheBytes: f.cacheMiB << 20,
		Grace: f.grace, StartLimit: f.startLimit, Log: log,
	}
	var gpusErr error
	o.GPUs, gpusErr = parseGPUs(f.gpus)
	err = errors.Join(err, gpusErr)
	if f.deployment != "" {
		name, build, ok := strings.Cut(f.deployment, "@")
		if ok && name != "" && build != "" && !strings.ContainsAny(name, ".:") {
			o.Deployment = worker.WorkerDeploymentVersion{DeploymentName: name, BuildID: build}
		} else {
			err = errors.Join(err, fmt.Errorf("--deployment %q: want name@build, without dots or colons in the name, e.g. tempera@v1", f.deployment))
		}
	}
	return o, errors.Join(err, o.Validate())
}

// parseGPUs reads --gpus.
func parseGPUs(s string) (GPUs, error) {
	switch s {
	case "all":
		return GPUs{}, nil
	case "none":
		return GPUs{None: true}, nil
	}
	var g GPUs
	for _, n := range strings.Split(s, ",") {
		i, err := strconv.Atoi(strings.TrimSpace(n))
		if err != nil || i < 0 {
			return g, fmt.Errorf("--gpus %q: want all, none, or numbers as in 0,2", s)
		}
		g.Ordinals = append(g.Ordinals, i)
	}
	return g, nil
}
