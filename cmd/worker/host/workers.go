package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tempera/activities"
	"tempera/infra/devstack"
	"tempera/infra/telemetry"
	"tempera/infra/temporalx"
	"tempera/workflows"
)

// workers makes one worker for each queue. A fatal error of any of them ends
// the process through fail.
func (o Options) workers(s *servers, m *telemetry.Metrics, fail context.CancelCauseFunc) ([]worker.Worker, error) {
	gpus, err := o.openGPUs(m)
	if err != nil {
		return nil, err
	}
	scratch := filepath.Join(o.Data, "scratch")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	downloads := o.Downloads
	if downloads == "" {
		if downloads, err = devstack.Downloads(); err != nil {
			return nil, err
		}
	}
	runtime := &activities.Runtime{
		Store: s.store, Client: s.temporal, Kinds: activities.NewCatalog(activities.All()...),
		Scratch: scratch, Data: downloads, Threads: o.Threads, Level: o.Level, Log: o.Log,
		Console: o.Endpoints.S3.ConsoleURL, Deployment: o.Deployment, GPUs: gpus,
		GPULost: fail,
	}
	var list []worker.Worker
	for _, queue := range slices.Compact(slices.Sorted(slices.Values(o.Queues))) {
		if queue == WorkflowQueue {
			w := worker.New(s.temporal, temporalx.WorkflowQueue, o.orchestration(fail))
			workflows.Register(w)
			runtime.RegisterControl(w)
			list = append(list, w)
			continue
		}
		w := worker.New(s.temporal, temporalx.ActivityQueue(queue), o.compute(o.slotsOf(queue, gpus), fail))
		runtime.RegisterKinds(w)
		list = append(list, w)
	}
	return list, nil
}

// controlSlots are how many control activities (plan, look-up, collect) run at
// a time: they wait for the servers and take no cores.
const controlSlots = 200

// orchestration are the options of the worker of workflows. Its pollers adapt
// to the load: two of them, the default, do not keep up with a DAG of no-ops.
func (o Options) orchestration(fail context.CancelCauseFunc) worker.Options {
	w := o.common(fail)
	w.MaxConcurrentWorkflowTaskExecutionSize = o.WorkflowSlots
	w.MaxConcurrentActivityExecutionSize = controlSlots
	w.WorkflowTaskPollerBehavior = worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{})
	return w
}

// compute are the options of a worker of activities.
func (o Options) compute(slots int, fail context.CancelCauseFunc) worker.Options {
	w := o.common(fail)
	w.DisableWorkflowWorker = true
	w.MaxConcurrentActivityExecutionSize = slots
	return w
}

func (o Options) common(fail context.CancelCauseFunc) worker.Options {
	w := worker.Options{
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		WorkerStopTimeout:          o.Grace,
		OnFatalError:               func(err error) { fail(fmt.Errorf("worker: %w", err)) },
	}
	if o.Deployment.DeploymentName != "" {
		w.DeploymentOptions = worker.DeploymentOptions{
			UseVersioning: true, Version: o.Deployment, DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
		}
	}
	return w
}
