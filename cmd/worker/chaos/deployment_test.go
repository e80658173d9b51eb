//go:build integration

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"tempera/infra/temporalx"
	"tempera/workflows"
)

// A run stays with the version of the worker that started it, with its stages
// and their activities; runs that start later go to the version that is current
// then.
func TestRunsStayWithTheirWorkerVersion(t *testing.T) {
	s := newServers(t, buildWorker(t))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	one := s.spawn("--slots", "4", "--deployment", "tempera@v1")
	s.setCurrent(ctx, "v1")
	slow := versionedStage("old", 80)
	old := s.start(ctx, "old", workflows.PipelineName, versionedSpec(slow, "old"))
	time.Sleep(2 * time.Second) // its first stage runs

	two := s.spawn("--slots", "4", "--deployment", "tempera@v2")
	s.setCurrent(ctx, "v2")
	fresh := s.outcome(ctx, s.start(ctx, "new", workflows.PipelineName, versionedSpec(versionedStage("new", 3), "new")))
	require.Equal(t, trace{[]string{"v2"}, []string{identity(two)}}, s.trace(ctx, fresh))
	shared := s.start(ctx, "shared", workflows.PipelineName, fmt.Appendf(nil, `{"name": "versioned", "stages": [%s]}`, slow)) // v1 computes it

	first := s.outcome(ctx, old)
	require.Equal(t, trace{[]string{"v1"}, []string{identity(one)}}, s.trace(ctx, first))
	second := s.outcome(ctx, shared)
	require.True(t, second.Stages["a"].Cached)
	require.Equal(t, first.Stages["a"].Outputs, second.Stages["a"].Outputs)
}

// Workers without a version go on beside a first deployment: it takes the runs
// over once it is current, and a queue that it does not poll stays theirs.
func TestAFirstDeploymentBesideWorkersWithoutVersion(t *testing.T) {
	s := newServers(t, buildWorker(t))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	plain := s.spawn("--slots", "4")
	began := s.start(ctx, "began", workflows.PipelineName, versionedSpec(versionedStage("began", 60), "began"))
	time.Sleep(2 * time.Second) // its first stage runs
	first := s.spawn("--queues", "workflow", "--deployment", "tempera@v1")
	v1 := worker.WorkerDeploymentVersion{DeploymentName: "tempera", BuildID: "v1"}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		n, err := temporalx.PollersFor(ctx, s.client, temporalx.WorkflowQueue, v1)
		assert.NoError(c, err)
		assert.Equal(c, 1, n)
	}, 30*time.Second, 200*time.Millisecond)
	n, err := temporalx.Pollers(ctx, s.client, temporalx.WorkflowQueue)
	require.NoError(t, err)
	require.Equal(t, 1, n, "a version that is not current takes no new runs")
	s.setCurrent(ctx, "v1")

	after := s.outcome(ctx, s.start(ctx, "after", workflows.PipelineName, versionedSpec(versionedStage("after", 3), "after")))
	require.Equal(t, trace{[]string{"v1"}, unique([]string{identity(plain), identity(first)})}, s.trace(ctx, after))
	s.outcome(ctx, began)
	d, err := s.client.DescribeWorkflowExecution(ctx, "began", "")
	require.NoError(t, err)
	require.Equal(t, "v1", d.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId())
}

// versionedStage takes its steps in tenths of a second.
func versionedStage(label string, steps int) string {
	return fmt.Sprintf(`{"id": "a", "kind": "noop", "params": {"label": %q, "steps": %d, "step_ms": 100, "shards": 3}}`, label, steps)
}

// versionedSpec is that stage, a mapped one over what it made, and one after
// that.
func versionedSpec(first, label string) json.RawMessage {
	return fmt.Appendf(nil, `{"name": "versioned", "stages": [%s,
		{"id": "m", "kind": "noop", "inputs": {"over": "a.data"}, "map": {}},
		{"id": "z", "kind": "noop", "needs": ["m"], "params": {"label": %q}}]}`, first, label)
}

// setCurrent makes a build the one that new runs go to, as soon as its workers
// are known.
func (s *stack) setCurrent(ctx context.Context, build string) {
	s.t.Helper()
	deployment := s.client.WorkerDeploymentClient().GetHandle("tempera")
	require.EventuallyWithT(s.t, func(c *assert.CollectT) {
		_, err := deployment.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
		assert.NoError(c, err)
	}, 30*time.Second, 200*time.Millisecond)
}

// trace tells which builds and which workers a run, its stages and their
// activities met.
type trace struct{ builds, workers []string }

func identity(c *exec.Cmd) string { return fmt.Sprint(c.Process.Pid) }

func (s *stack) trace(ctx context.Context, out workflows.Outcome) (found trace) {
	s.t.Helper()
	ids := []string{out.Run}
	for _, res := range out.Stages {
		ids = append(ids, "stage/"+res.Key)
	}
	for _, id := range ids {
		d, err := s.client.DescribeWorkflowExecution(ctx, id, "")
		require.NoError(s.t, err)
		info := d.GetWorkflowExecutionInfo().GetVersioningInfo()
		require.Equal(s.t, enums.VERSIONING_BEHAVIOR_PINNED, info.GetBehavior(), id)
		found.builds = append(found.builds, info.GetDeploymentVersion().GetBuildId())
		events := s.client.GetWorkflowHistory(ctx, id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(s.t, err)
			by := e.GetActivityTaskStartedEventAttributes().GetIdentity() + e.GetWorkflowTaskStartedEventAttributes().GetIdentity()
			if pid, _, ok := strings.Cut(by, "@"); ok {
				found.workers = append(found.workers, pid)
			}
		}
	}
	return trace{unique(found.builds), unique(found.workers)}
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
