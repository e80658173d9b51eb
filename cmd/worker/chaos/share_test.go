//go:build integration

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tempera/workflows"
)

// Runs that need the same result compute it once, and take over from each other.
func TestRunsShareStages(t *testing.T) {
	s := newStack(t, buildWorker(t))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	spec := func(label string) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"name": "share", "stages": [{"id": "a", "kind": "noop",
			"params": {"label": %q, "steps": 40, "step_ms": 100, "checkpoint": 5}}]}`, label))
	}
	begin := func(id, label string) client.WorkflowRun {
		t.Helper()
		run := s.start(ctx, id, workflows.PipelineName, spec(label))
		time.Sleep(1500 * time.Millisecond) // its stage runs
		return run
	}

	first, second := begin("one", "x"), begin("two", "x")
	computed, waited := s.outcome(ctx, first).Stages["a"], s.outcome(ctx, second).Stages["a"]
	require.False(t, computed.Cached)
	require.True(t, waited.Cached)
	require.Equal(t, computed.Outputs, waited.Outputs)

	third := begin("three", "y")
	fourth := begin("four", "y")
	require.NoError(t, s.client.CancelWorkflow(ctx, "three", ""))
	require.Error(t, third.Get(ctx, nil))
	require.False(t, s.outcome(ctx, fourth).Stages["a"].Cached, "the run that waited takes over from the one that was cancelled")

	fifth := begin("five", "z")
	require.NoError(t, s.client.TerminateWorkflow(ctx, "five", "", "test"))
	require.Error(t, fifth.Get(ctx, nil))
	sixth := s.outcome(ctx, begin("six", "z")).Stages["a"]
	require.False(t, sixth.Cached)
	require.NotEqual(t, computed.Outputs, sixth.Outputs)
}
