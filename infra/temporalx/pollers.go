package temporalx

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// pollerFresh is how recently a poller must have asked for work to count: long
// polls last a minute.
const pollerFresh = 70 * time.Second

// Pollers returns how many workers would be given the next task of the queue:
// those of the deployment version that is current, those without a version
// where none is. On WorkflowQueue it counts pollers of workflow tasks, on every
// other queue pollers of activity tasks.
func Pollers(ctx context.Context, c client.Client, queue string) (int, error) {
	return PollersFor(ctx, c, queue, worker.WorkerDeploymentVersion{})
}

// PollersFor is Pollers for a run that is pinned to a version: workers of this
// version count, and only where there are none those that Pollers counts.
func PollersFor(ctx context.Context, c client.Client, queue string, pinned worker.WorkerDeploymentVersion) (int, error) {
	kind := enums.TASK_QUEUE_TYPE_ACTIVITY
	if queue == WorkflowQueue {
		kind = enums.TASK_QUEUE_TYPE_WORKFLOW
	}
	d, err := c.DescribeTaskQueue(ctx, queue, kind)
	if err != nil {
		return 0, fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	workers := map[worker.WorkerDeploymentVersion]map[string]bool{}
	for _, p := range d.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) >= pollerFresh {
			continue
		}
		v := versionOf(p)
		if workers[v] == nil {
			workers[v] = map[string]bool{}
		}
		workers[v][p.GetIdentity()] = true
	}
	if n := len(workers[pinned]); n > 0 && pinned.DeploymentName != "" {
		return n, nil
	}
	return len(workers[current(d.GetVersioningInfo().GetCurrentDeploymentVersion())]), nil
}

// versionOf returns the deployment version of a poller; zero where it has none.
func versionOf(p *taskqueue.PollerInfo) worker.WorkerDeploymentVersion {
	o := p.GetDeploymentOptions()
	if o.GetWorkerVersioningMode() != enums.WORKER_VERSIONING_MODE_VERSIONED {
		return worker.WorkerDeploymentVersion{}
	}
	return worker.WorkerDeploymentVersion{DeploymentName: o.GetDeploymentName(), BuildID: o.GetBuildId()}
}

func current(v *deployment.WorkerDeploymentVersion) worker.WorkerDeploymentVersion {
	return worker.WorkerDeploymentVersion{DeploymentName: v.GetDeploymentName(), BuildID: v.GetBuildId()}
}
