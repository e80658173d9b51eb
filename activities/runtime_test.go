package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

// lab runs activities of a Runtime on a store in memory.
type lab struct {
	t     *testing.T
	store *mem.Store
	rt    *Runtime
	stop  chan struct{}
}

func newLab(t *testing.T, kinds ...Kind) *lab {
	t.Helper()
	store := mem.New()
	return &lab{t: t, store: store, stop: make(chan struct{}), rt: &Runtime{
		Store: store, Scratch: t.TempDir(), Log: slog.New(slog.DiscardHandler), Kinds: NewCatalog(append(kinds, Noop())...),
	}}
}

// run executes one attempt.
func (l *lab) run(q stage.Request) (stage.Result, error) {
	l.t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{})
	env.SetWorkerStopChannel(l.stop)
	l.rt.RegisterKinds(env)
	l.rt.RegisterControl(env)
	v, err := env.ExecuteActivity(q.Kind, q)
	if err != nil {
		return stage.Result{}, err
	}
	var res stage.Result
	return res, errors.Join(v.Get(&res))
}

func (l *lab) request(params string) stage.Request {
	l.t.Helper()
	resolved, err := l.rt.Kinds.Resolve("noop", json.RawMessage(params))
	require.NoError(l.t, err)
	key, err := stage.Key("noop", 1, resolved, nil)
	require.NoError(l.t, err)
	return stage.Request{Pipeline: "p", Run: "run/1", Stage: "s", Kind: "noop", Key: key, Params: resolved}
}

func (l *lab) names(prefix string) (names []string) {
	for n, err := range l.store.List(context.Background(), prefix) {
		require.NoError(l.t, err)
		names = append(names, n.Name)
	}
	return names
}

func (l *lab) text(name string) string {
	l.t.Helper()
	r, _, err := l.store.Read(context.Background(), name)
	require.NoError(l.t, err)
	data, err := io.ReadAll(r)
	require.NoError(l.t, err)
	return string(data)
}

func TestAResultIsCommittedOnceAndFoundAgain(t *testing.T) {
	l := newLab(t)
	q := l.request(`{"metrics": {"a": 1}, "steps": 3}`)
	first, err := l.run(q)
	require.NoError(t, err)
	require.False(t, first.Cached)
	q.Run = "run/2"
	second, err := l.run(q)
	require.NoError(t, err)
	require.True(t, second.Cached)
	require.Equal(t, first.Outputs, second.Outputs)
	q.Force = q.Run
	third, err := l.run(q)
	require.NoError(t, err)
	require.False(t, third.Cached)
	require.Equal(t, first.Outputs, third.Outputs)
	c, found, err := readCommit(t.Context(), l.store, q.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "run/2", c.Forced)
}

func TestAShardThatMakesNothingLeavesNothing(t *testing.T) {
	l := newLab(t)
	q := l.request(`{}`)
	q.Shard = &stage.Shard{Index: 1, Count: 3}
	_, err := l.run(q)
	require.NoError(t, err)
	require.Empty(t, l.names(""))
}

// interruptedNoop stops the first attempts at given steps.
func TestAResumedStageMakesTheSameBytesAndTellsEachStepOnce(t *testing.T) {
	const params = `{"steps": 20, "checkpoint": 3, "step_ms": 1, "label": "r"}`
	undisturbed := newLab(t)
	want, err := undisturbed.run(undisturbed.request(params))
	require.NoError(t, err)

	l := newLab(t)
	q := l.request(params)
	close(l.stop)
	_, err = l.run(q)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, stage.Stopped, app.Type())
	require.False(t, app.NonRetryable())
	require.Equal(t, stopDelay, app.NextRetryDelay())
	require.NotEmpty(t, l.names("checkpoints/"))

	l.stop = make(chan struct{})
	got, err := l.run(q)
	require.NoError(t, err)
	require.Equal(t, want.Outputs, got.Outputs)
	require.Empty(t, l.names("checkpoints/"), "all are removed after the commit")
	var steps []string
	for line := range strings.Lines(l.text("runs/p/run_1/s/metrics.jsonl")) {
		var row struct{ Step int }
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		steps = append(steps, fmt.Sprint(row.Step))
	}
	require.Len(t, steps, 20)
	require.Equal(t, steps, slices.Compact(slices.Clone(steps)))
}

// crashing is a kind that saves a checkpoint for each step up to till, and
// then fails; it begins at what Load gives it.
func crashing(till *int64, seen *[]int64) Kind {
	type none struct{}
	return define(stage.Descriptor{Name: "crashing", Version: 1, Queue: stage.CPU}, none{}, func(ctx context.Context, t *Task, _ none) error {
		at := int64(0)
		_, err := t.Checkpoints.Load(ctx, func(step int64, r io.Reader) error {
			data, err := io.ReadAll(r)
			if string(data) != fmt.Sprint("state ", step) {
				return fmt.Errorf("state of step %d is %q", step, data)
			}
			at = step
			return err
		})
		if err != nil {
			return err
		}
		*seen = append(*seen, at)
		for at++; at <= *till; at++ {
			if err := t.Checkpoints.Save(ctx, at, func(w io.Writer) error { _, err := fmt.Fprint(w, "state ", at); return err }); err != nil {
				return err
			}
		}
		return errors.New("crash")
	})
}

func TestCheckpoints(t *testing.T) {
	till, seen := int64(3), []int64(nil)
	l := newLab(t, crashing(&till, &seen))
	q := stage.Request{Pipeline: "p", Run: "r", Stage: "s", Kind: "crashing", Key: "crashing-1"}
	points := func() []string {
		return slices.DeleteFunc(l.names("checkpoints/crashing-1/"), func(n string) bool { return strings.HasSuffix(n, pointsName) })
	}
	attempt := func() error { _, err := l.run(q); return err }

	require.ErrorContains(t, attempt(), "crash")
	require.Len(t, points(), 2, "two are kept")
	till = 5
	require.ErrorContains(t, attempt(), "crash")
	require.Equal(t, []int64{0, 3}, seen)

	newest := points()[1]
	require.Contains(t, newest, "000005")
	require.NoError(t, writeName(t.Context(), l.store, newest, []byte("state 6")))
	require.ErrorContains(t, attempt(), "crash")
	require.Equal(t, []int64{0, 3, 4}, seen, "a corrupt checkpoint is skipped for the one before it")

	for _, name := range points() {
		require.NoError(t, writeName(t.Context(), l.store, name, []byte("xx")))
	}
	err := attempt()
	require.ErrorContains(t, err, "every checkpoint of s is corrupt")
	require.ErrorContains(t, err, "sha256:")
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, stage.CorruptArtifact, app.Type())
}

func TestAForcedStageBeginsAnew(t *testing.T) {
	till, seen := int64(3), []int64(nil)
	l := newLab(t, crashing(&till, &seen))
	q := stage.Request{Pipeline: "p", Run: "cancelled", Stage: "s", Kind: "crashing", Key: "crashing-1"}
	_, err := l.run(q)
	require.ErrorContains(t, err, "crash")
	before := l.names("checkpoints/")

	forced := q
	forced.Run, forced.Force = "again", "again"
	till = 2
	_, err = l.run(forced)
	require.ErrorContains(t, err, "crash")
	till = 4
	_, err = l.run(forced)
	require.ErrorContains(t, err, "crash")
	require.Equal(t, []int64{0, 0, 2}, seen, "it resumes from its own checkpoints only")
	require.Subset(t, l.names("checkpoints/"), before, "those of the other run are left alone")
	_, err = l.run(q)
	require.ErrorContains(t, err, "crash")
	require.Equal(t, int64(3), seen[3])
}

func TestAWorkerThatWasGivenUpCannotMoveTheResumePoint(t *testing.T) {
	l := newLab(t)
	attemptOf := func(n int32) *attempt {
		a := &attempt{runtime: l.rt, kind: Noop(), request: l.request(`{}`), name: "s", number: n}
		a.log, a.metrics = newAttemptLog(a), newMetricsLog(a)
		a.points = newCheckpoints(a)
		return a
	}
	write := func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }
	ctx := t.Context()
	lost, next := attemptOf(1), attemptOf(2)
	require.NoError(t, lost.points.Save(ctx, 1, write))
	found, err := next.points.Load(ctx, func(int64, io.Reader) error { return nil })
	require.NoError(t, err)
	require.True(t, found)
	require.ErrorIs(t, lost.points.Save(ctx, 2, write), artifact.ErrConflict)
	require.NoError(t, next.points.Save(ctx, 2, write))
}

func TestErrorsAreClassedOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		typ   string
		final bool // for the server
	}{
		{"an ordinary error is the stage's own", errors.New("x"), stage.StageFailed, true},
		{"a panic is the stage's own", &panicked{"x"}, stage.Panicked, true},
		{"bad input is final", Invalid(errors.New("x")), stage.InvalidInput, true},
		{"a judging program that fails each time is final", fmt.Errorf("reward: %w", reward.ErrProgram), stage.InvalidInput, true},
		{"bad parameters are final", &ParamsError{"k", []string{"x"}}, stage.InvalidInput, true},
		{"wrong bytes are final", fmt.Errorf("open: %w", artifact.ErrDigest), stage.CorruptArtifact, true},
		{"a missing artifact is final", fmt.Errorf("open: %w", artifact.ErrNotFound), stage.MissingArtifact, true},
		{"a refusal is final", fmt.Errorf("open: %w", artifact.ErrCredentials), stage.StoreRefused, true},
		{"a store that is away is waited for", fmt.Errorf("open: %w", artifact.ErrTransient), stage.StoreUnavailable, false},
		{"a full store is waited for", fmt.Errorf("put: %w", artifact.ErrFull), stage.NoSpace, false},
		{"a stopping worker gives the stage back", fmt.Errorf("train: %w", ErrStopped), stage.Stopped, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var app *temporal.ApplicationError
			require.ErrorAs(t, failure(errors.Join(c.err, nil)), &app)
			require.NoError(t, app.Unwrap(), "workflows go by the type of the innermost error")
			require.Equal(t, c.typ, app.Type())
			require.Equal(t, c.final, app.NonRetryable())
		})
	}
	require.True(t, temporal.IsCanceledError(failure(context.Canceled)))
	require.NoError(t, failure(nil))
}

func TestNoopFailsAsAsked(t *testing.T) {
	for mode, typ := range map[string]string{
		"error": stage.StageFailed, "invalid": stage.InvalidInput, "panic": stage.Panicked, "transient": stage.StoreUnavailable,
	} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t)
			_, err := l.run(l.request(fmt.Sprintf(`{"fail": %q}`, mode)))
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, typ, app.Type())
			logs := l.names("runs/p/run_1/s/")
			require.Len(t, logs, 1)
			require.Contains(t, l.text(logs[0]), "failing as asked")
		})
	}
}

func TestAKindIsHeldToItsDescriptor(t *testing.T) {
	type none struct{}
	for _, c := range []struct {
		name, want string
		run        func(context.Context, *Task, none) error
	}{
		{"an output that it promised", "made no output out", func(context.Context, *Task, none) error { return nil }},
		{"the type of an output", `as "model", not as "report"`, func(_ context.Context, t *Task, _ none) error {
			t.Output("out", artifact.Artifact{Type: "model"})
			return nil
		}},
		{"metrics that JSON can hold", "metric m is NaN", func(_ context.Context, t *Task, _ none) error {
			t.Output("out", artifact.Artifact{Type: "report"})
			zero := 0.0
			t.Metric("m", zero/zero)
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := define(stage.Descriptor{Name: "odd", Version: 1, Outputs: []stage.Port{{Name: "out", Type: "report"}}}, none{}, c.run)
			l := newLab(t, k)
			_, err := l.run(stage.Request{Pipeline: "p", Run: "r", Stage: "s", Kind: "odd", Key: "odd-1"})
			require.ErrorContains(t, err, c.want)
			require.Empty(t, l.names("stages/"))
		})
	}
}
