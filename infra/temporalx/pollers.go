package temporalx

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// pollerFresh is how recently a poller must have asked for work to count: long
// polls last a minute.
const pollerFresh = 70 * time.Second

// Pollers returns how many workers ask the queue for work. On WorkflowQueue it
// counts pollers of workflow tasks, on every other queue pollers of activity
// tasks.
func Pollers(ctx context.Context, c client.Client, queue string) (int, error) {
	kind := enums.TASK_QUEUE_TYPE_ACTIVITY
	if queue == WorkflowQueue {
		kind = enums.TASK_QUEUE_TYPE_WORKFLOW
	}
	d, err := c.DescribeTaskQueue(ctx, queue, kind)
	if err != nil {
		return 0, fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	workers := map[string]bool{}
	for _, p := range d.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) < pollerFresh {
			workers[p.GetIdentity()] = true
		}
	}
	return len(workers), nil
}
