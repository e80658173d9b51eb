package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/workflows"
	"tempera/workflows/stage"
)

const chain = `
name: chain
stages:
  - {id: a, kind: work, params: {n: 1}}
  - {id: b, kind: work, params: {n: 2}, inputs: {in: a.out}}
  - {id: c, kind: work, params: {n: 3}, needs: [b]}
  - {id: apart, kind: work, params: {n: 4}}
`

func TestStagesRunInOrderAndTheRecordTellsTheirLineage(t *testing.T) {
	w := newWorld(t)
	w.start(chain)
	out := w.outcome()
	require.Equal(t, []string{"a", "apart", "b", "c"}, sorted(w.ran))
	require.Equal(t, "4 of 4 stages done", out.Summary)
	require.Equal(t, 2.0, out.Stages["b"].Metrics["n"])
	require.Equal(t, "running", w.records[0].State)
	last := w.records[len(w.records)-1]
	require.Equal(t, "completed", last.State)
	require.Equal(t, map[string]int{"work": 1}, last.Versions)
	require.Equal(t, out.Stages["a"].Outputs["out"], last.Stages[idx(last, "b")].Inputs["in"][0])
}

func idx(r stage.RunRecord, id string) int {
	for i, s := range r.Stages {
		if s.ID == id {
			return i
		}
	}
	return -1
}

func TestAFailedStageWaitsForRetryWithChangedParams(t *testing.T) {
	w := newWorld(t)
	w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
		if string(q.Params) == `{"n":2}` {
			return stage.Result{}, temporal.NewNonRetryableApplicationError("loss is NaN at step 40", stage.InvalidInput, nil)
		}
		return resultOf(q), nil
	}
	unknown := w.at(time.Hour, workflows.UpdateRetry, workflows.Command{Stage: "bb"})
	early := w.at(time.Hour, workflows.UpdateRetry, workflows.Command{Stage: "a"})
	wrong := w.at(2*time.Hour, workflows.UpdateRetry, workflows.Command{Stage: "b", Params: []byte(`{"m":3}`)})
	right := w.at(3*time.Hour, workflows.UpdateRetry, workflows.Command{Stage: "b", Params: []byte(`{"n":5}`)})
	w.start(chain)
	require.ErrorContains(t, unknown(), `there is no such stage: did you mean`)
	require.ErrorContains(t, early(), "it is succeeded; it must be failed")
	require.ErrorContains(t, wrong(), `there is no parameter "m"`)
	require.NoError(t, right())
	out := w.outcome()
	require.Equal(t, 5.0, out.Stages["b"].Metrics["n"])
	require.Equal(t, 1, w.count1("a"), "nothing finished is redone")
	require.Equal(t, 1, w.count1("apart"), "independent stages run on")
	require.Equal(t, "waiting for repair", w.records[1].State)
	require.Len(t, w.records[len(w.records)-1].Stages[idx(w.records[0], "b")].Starts, 2)
}

func TestARunThatNobodyRepairsFailsWithEveryStage(t *testing.T) {
	w := newWorld(t)
	w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
		if q.Stage == "b" || q.Stage == "apart" {
			return stage.Result{}, temporal.NewNonRetryableApplicationError("broken "+q.Stage, stage.InvalidInput, nil)
		}
		return resultOf(q), nil
	}
	w.start(chain)
	var app *temporal.ApplicationError
	require.ErrorAs(t, w.env.GetWorkflowError(), &app)
	require.Equal(t, workflows.PipelineFailed, app.Type())
	require.Contains(t, app.Message(), "b: broken b")
	require.Contains(t, app.Message(), "apart: broken apart")
	require.Equal(t, "failed", w.records[len(w.records)-1].State)
}

func TestFailuresOfTheStageAreRetriedAsOftenAsItsPolicySays(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		ran       int
	}{
		{"an ordinary failure is retried up to its attempts", stage.StageFailed, 3},
		{"a panic is retried up to its attempts", stage.Panicked, 3},
		{"a fault of the input is final", stage.InvalidInput, 1},
		{"corrupt data is final", stage.CorruptArtifact, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.work = func(context.Context, stage.Request) (stage.Result, error) {
				return stage.Result{}, temporal.NewNonRetryableApplicationError("no", c.typ, nil)
			}
			w.start("name: r\ndefaults: {repair: 0s, retry: {attempts: 3}}\nstages:\n  - {id: a, kind: work}\n")
			require.Error(t, w.env.GetWorkflowError())
			require.Equal(t, c.ran, w.count1("a"))
		})
	}
}

func TestGateWhenAndApproval(t *testing.T) {
	const spec = `
name: gates
stages:
  - {id: a, kind: work, params: {n: 3}}
  - {id: small, kind: work, params: {n: 10}, when: a.n < 2}
  - {id: after_small, kind: work, params: {n: 11}, needs: [small]}
  - {id: gated, kind: work, params: {n: 12}, needs: [a], gate: {metric: a.n > 2, approval: true}}
`
	w := newWorld(t)
	nobody := w.at(time.Hour, workflows.UpdateApprove, workflows.Command{Stage: "gated"})
	approved := w.at(50*time.Hour, workflows.UpdateApprove, workflows.Command{Stage: "gated", By: "ada", Why: "samples look right"})
	w.start(spec)
	require.ErrorContains(t, nobody(), "say who approves it")
	require.NoError(t, approved())
	w.outcome()
	require.Equal(t, map[string]string{"a": "succeeded", "small": "skipped", "after_small": "skipped", "gated": "succeeded"}, w.states())
}

func TestAGateThatIsFalseFailsUntilItIsApprovedOrSkipped(t *testing.T) {
	const spec = `
name: gates
stages:
  - {id: a, kind: work, params: {n: 3}}
  - {id: gated, kind: work, params: {n: 12}, gate: {metric: a.n > 5}}
  - {id: last, kind: work, params: {n: 13}, needs: [gated]}
`
	w := newWorld(t)
	skipped := w.at(time.Hour, workflows.UpdateSkip, workflows.Command{Stage: "gated", By: "ada"})
	w.start(spec)
	require.NoError(t, skipped())
	w.outcome()
	require.Equal(t, map[string]string{"a": "succeeded", "gated": "skipped", "last": "skipped"}, w.states())
	require.Equal(t, []string{"a"}, w.ran)
}

func TestKnownResultsAreNotComputedAgainUnlessForced(t *testing.T) {
	const spec = "name: k\nstages:\n  - {id: a, kind: work, params: {n: 1}}\n  - {id: b, kind: work, params: {n: 2}, needs: [a], force: true}\n"
	w := newWorld(t)
	for _, p := range []string{`{"n":1}`, `{"n":2}`} {
		key, err := stage.Key("work", 1, json.RawMessage(p), nil)
		require.NoError(t, err)
		w.known[key] = stage.Result{Key: key, Cached: true, Metrics: map[string]float64{"n": 9}}
	}
	var forced string
	w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
		forced = q.Force
		return resultOf(q), nil
	}
	w.start(spec)
	out := w.outcome()
	require.Equal(t, []string{"b"}, w.ran)
	require.Equal(t, "default-test-workflow-id", forced)
	require.True(t, out.Stages["a"].Cached)
	require.Equal(t, 2.0, out.Stages["b"].Metrics["n"])
}

func TestTheRecordIsUpToDateBeforeAStageThatReadsIt(t *testing.T) {
	const spec = "name: k\nstages:\n  - {id: a, kind: work}\n  - {id: b, kind: about, needs: [a]}\n"
	for _, c := range []struct {
		name    string
		version workflow.Version
		seen    string // the state of a, as b reads it
		records int
	}{
		{"a run that begins now", 1, "succeeded", 3},
		{"a run that began before the change goes on without", workflow.DefaultVersion, "ready", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.env.OnGetVersion("record before the stage that reads it", workflow.DefaultVersion, workflow.Version(1)).Return(c.version)
			seen := ""
			w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
				if q.Kind == "about" {
					require.NotEmpty(t, q.Force, "a result about another run is of no use")
					seen = w.states()["a"]
				}
				return resultOf(q), nil
			}
			w.start(spec)
			w.outcome()
			require.Equal(t, c.seen, seen)
			require.Len(t, w.records, c.records)
		})
	}
}

func TestEqualStagesOfARunAreComputedOnce(t *testing.T) {
	w := newWorld(t)
	w.start("name: e\nstages:\n  - {id: a, kind: work}\n  - {id: b, kind: work}\n  - {id: c, kind: work, needs: [a]}\n")
	out := w.outcome()
	require.Len(t, w.ran, 1)
	require.True(t, out.Stages["b"].Cached)
	require.True(t, out.Stages["c"].Cached)
}

func TestFaultsOfASpecAreAllToldAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start("name: bad\nstages:\n  - {id: a, kind: wrk}\n  - {id: b, kind: work, params: {n: -1}, needs: [zz]}\n")
	var app *temporal.ApplicationError
	require.ErrorAs(t, w.env.GetWorkflowError(), &app)
	require.Equal(t, stage.InvalidPipeline, app.Type())
	require.True(t, app.NonRetryable())
	for _, part := range []string{"wrk", "work", "n is", "zz"} {
		require.Contains(t, app.Message(), part)
	}
	require.Empty(t, w.ran)
}

func TestPauseStartsNothingUntilResume(t *testing.T) {
	w := newWorld(t)
	var began []time.Duration
	start := w.env.Now()
	w.work = func(_ context.Context, q stage.Request) (stage.Result, error) {
		began = append(began, w.env.Now().Sub(start))
		if len(began) == 1 {
			return stage.Result{}, temporal.NewNonRetryableApplicationError("no", stage.InvalidInput, nil)
		}
		return resultOf(q), nil
	}
	answers := []func() error{
		w.at(time.Hour, workflows.UpdatePause, workflows.Command{}),
		w.at(2*time.Hour, workflows.UpdateRetry, workflows.Command{Stage: "a"}),
		w.at(4*time.Hour, workflows.UpdateResume, workflows.Command{}),
	}
	again := w.at(3*time.Hour, workflows.UpdatePause, workflows.Command{})
	w.start("name: p\nstages:\n  - {id: a, kind: work, params: {n: 1}}\n")
	for _, answer := range answers {
		require.NoError(t, answer())
	}
	require.ErrorContains(t, again(), "paused already")
	w.outcome()
	require.GreaterOrEqual(t, began[1], 4*time.Hour)
}

func TestCancellingAStageTakesAlongWhatWaitsForIt(t *testing.T) {
	w := newWorld(t)
	w.work = func(ctx context.Context, q stage.Request) (stage.Result, error) {
		if q.Stage == "b" {
			return stage.Result{}, temporal.NewNonRetryableApplicationError("no", stage.InvalidInput, nil)
		}
		return resultOf(q), nil
	}
	cancelled := w.at(time.Hour, workflows.UpdateCancel, workflows.Command{Stage: "b", Why: "not needed"})
	w.start(chain)
	require.NoError(t, cancelled())
	w.outcome()
	require.Equal(t, map[string]string{"a": "succeeded", "apart": "succeeded", "b": "cancelled", "c": "cancelled"}, w.states())
}

func TestCancellingTheRunCancelsItsStages(t *testing.T) {
	w := newWorld(t)
	w.work = func(ctx context.Context, q stage.Request) (stage.Result, error) {
		return stage.Result{}, broken("again")
	}
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 30*time.Minute)
	w.start("name: c\ndefaults: {retry: {attempts: 1000}}\nstages:\n  - {id: a, kind: work}\n")
	require.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	require.Equal(t, "cancelled", w.records[len(w.records)-1].State)
	require.Equal(t, map[string]string{"a": "cancelled"}, w.states())
}

func TestNamedWorkflowsCheckTheirParametersAtOnce(t *testing.T) {
	for _, n := range workflows.All() {
		t.Run(n.Name, func(t *testing.T) {
			spec, err := n.Spec([]byte(`{}`))
			require.NoError(t, err)
			require.NotEmpty(t, spec.Stages)
			require.True(t, json.Valid(n.Defaults))
			require.True(t, json.Valid(n.Schema))
			_, err = n.Spec([]byte(`{"nonsense": 1}`))
			var faults *workflows.ParamsError
			require.True(t, errors.As(err, &faults))
			require.Contains(t, err.Error(), `"nonsense"`)
		})
	}
	_, err := workflows.Find("CaptionBootstrp")
	require.ErrorContains(t, err, `did you mean "CaptionBootstrap"?`)
}

func TestResultsOfOtherRunsAreAwaitedNotComputedTwice(t *testing.T) {
	key, err := stage.Key("work", 1, json.RawMessage(`{"n":0}`), nil)
	require.NoError(t, err)
	require.Equal(t, "stage/"+key, workflows.StageWorkflowID(stage.Request{Key: key}))
	require.Equal(t, "stage/"+key+"/run-7", workflows.StageWorkflowID(stage.Request{Key: key, Force: "run-7"}))
}
