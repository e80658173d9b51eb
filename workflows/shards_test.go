package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/workflows"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// mapped runs a Stage over n shards, over as many continuations as it takes,
// and returns how many there were.
func mapped(t *testing.T, n int, budget string, setup func(*world)) (*world, int, error) {
	t.Helper()
	in := workflows.StageInput{
		Request: stage.Request{Pipeline: "p", Run: "r", Stage: "m", Kind: "work", Key: "work-1", Params: []byte(`{"n":1}`)},
		Policy:  dag.Policy{Attempts: 1, Interval: dag.Duration(1e9), Timeout: dag.Duration(60e9), Queue: stage.CPU},
		Map:     &dag.Map{Window: 64, MaxFailed: budget},
	}
	var all *world
	for runs := 0; ; runs++ {
		w := newWorld(t)
		w.shards = n
		if setup != nil {
			setup(w)
		}
		if all == nil {
			all = w
		}
		w.env.ExecuteWorkflow(workflows.Stage, in)
		require.True(t, w.env.IsWorkflowCompleted())
		if w != all {
			all.ran, all.collect = append(all.ran, w.ran...), append(all.collect, w.collect...)
		}
		err := w.env.GetWorkflowError()
		var again *workflow.ContinueAsNewError
		if err == nil || !asContinue(err, &again) {
			return all, runs, err
		}
		in = workflows.StageInput{}
		require.NoError(t, converterOf().FromPayloads(again.Input, &in))
	}
}

func TestEveryShardRunsOnceAndTheHistoryStaysSmall(t *testing.T) {
	w, continued, err := mapped(t, 2100, "", nil)
	require.NoError(t, err)
	require.Equal(t, 1, continued)
	require.Len(t, w.ran, 2100)
	seen := map[string]bool{}
	for _, s := range w.ran {
		seen[s] = true
	}
	require.Len(t, seen, 2100)
	require.Equal(t, 2100, w.collect[0].Count)
}

func TestShardsThatHaveCommittedAreNotRunAgain(t *testing.T) {
	w, _, err := mapped(t, 20, "", func(w *world) { w.done = []byte{0xff, 0x01} })
	require.NoError(t, err)
	require.Len(t, w.ran, 11)
	require.NotContains(t, w.ran, "m/8")
	require.Contains(t, w.ran, "m/9")
}

func failing(shards ...int) func(*world) {
	return func(w *world) {
		w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
			for _, i := range shards {
				if q.Shard.Index == i {
					return stage.Result{}, broken(fmt.Sprintf("shard %d is broken", i))
				}
			}
			return resultOf(q), nil
		}
	}
}

func TestFailuresWithinTheBudgetAreQuarantined(t *testing.T) {
	w, _, err := mapped(t, 200, "1%", failing(7, 3))
	require.NoError(t, err)
	require.Equal(t, []int{3, 7}, w.collect[0].Missing)
	require.Len(t, w.collect[0].Quarantined, 2)
	require.Contains(t, w.collect[0].Quarantined[0].Reason, "is broken")
}

func TestTheBudgetHoldsAcrossContinueAsNew(t *testing.T) {
	for _, c := range []struct {
		name   string
		fail   []int
		budget string
		fatal  bool
	}{
		{"a failure in the first run and one in the last are both listed", []int{5, 2050}, "2", false},
		{"one failure too many, in the last run, fails the stage", []int{5, 2050}, "1", true},
		{"a failure as the last shard before continue-as-new is not lost", []int{1999}, "", true},
		{"a failure in the window that drains is not lost", []int{1990}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _, err := mapped(t, 2100, c.budget, failing(c.fail...))
			if !c.fatal {
				require.NoError(t, err)
				require.Equal(t, c.fail, w.collect[0].Missing)
				return
			}
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Contains(t, app.Message(), fmt.Sprintf("%d of 2100 shards failed", len(c.fail)))
			require.Contains(t, app.Message(), "is broken")
			require.Empty(t, w.collect)
		})
	}
}

func asContinue(err error, target **workflow.ContinueAsNewError) bool {
	return errors.As(err, target)
}

func converterOf() converter.DataConverter { return converter.GetDefaultDataConverter() }
