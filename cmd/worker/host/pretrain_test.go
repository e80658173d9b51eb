package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"tempera/activities"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// kinds are all that a worker has.
func kinds() *activities.Catalog { return activities.NewCatalog(activities.All()...) }

// bench runs named workflows on the SDK's test environment, with the real kinds
// and a store in memory.
type bench struct {
	t     *testing.T
	store artifact.Store
}

// run runs a workflow to its end.
func (b *bench) run(name, params string) (workflows.Outcome, error) {
	b.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(slogDiscard{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(2 * time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // the machine may be busy
	workflows.Register(env)
	r := &activities.Runtime{Store: b.store, Kinds: kinds(), Scratch: b.t.TempDir(), Data: b.t.TempDir(), Threads: 2, Log: slog.New(slog.DiscardHandler)}
	r.RegisterKinds(env)
	for name, f := range map[string]any{
		stage.ActivityPlan: plan, stage.ActivityResolve: r.Resolve, stage.ActivityPublish: r.Publish,
		stage.ActivityCountShards: r.CountShards, stage.ActivityCollect: r.Collect,
		stage.ActivityProgress: func(context.Context, []string) (map[string]dag.Progress, error) { return nil, nil },
	} {
		env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	env.ExecuteWorkflow(name, json.RawMessage(params))
	require.True(b.t, env.IsWorkflowCompleted())
	var out workflows.Outcome
	if err := env.GetWorkflowError(); err != nil {
		return out, err
	}
	return out, env.GetWorkflowResult(&out)
}

// plan is the control activity without a look at the servers.
func plan(_ context.Context, q stage.PlanRequest) (stage.PlanResult, error) {
	spec, err := dag.Parse(q.Spec)
	if err == nil {
		var p *dag.Plan
		if p, err = dag.NewPlan(spec, kinds()); err == nil {
			data, err := json.Marshal(p)
			return stage.PlanResult{Plan: data, Digest: artifact.DigestOf(data)}, err
		}
	}
	return stage.PlanResult{}, temporal.NewNonRetryableApplicationError(err.Error(), stage.InvalidPipeline, nil)
}

// slogDiscard keeps the SDK quiet.
type slogDiscard struct{}

func (slogDiscard) Debug(string, ...any) {}
func (slogDiscard) Info(string, ...any)  {}
func (slogDiscard) Warn(string, ...any)  {}
func (slogDiscard) Error(string, ...any) {}

// stories writes a folder of documents that are easy to learn.
func stories(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 120 {
		who, what := []string{"cat", "dog", "fox", "hen"}[i%4], []string{"runs", "sleeps", "sings"}[i%3]
		text := fmt.Sprintf("The %s %s at %d. ", who, what, i) + strings.Repeat(fmt.Sprintf("Then the %s %s again. ", who, what), 3+i%5)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.txt", i)), []byte(text), 0o644))
	}
	return dir
}

func read(t *testing.T, s artifact.Store, name string) string {
	t.Helper()
	r, _, err := s.Read(context.Background(), name)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

const smallText = `"vocab": 320, "steps": 12, "batch": 4, "warm_up": 2, "evaluate_every": 4, "samples": 2,
	"model": {"width": 16, "context": 32, "layers": 1, "heads": 2}`

func TestPretrainLearnsTextAndReports(t *testing.T) {
	b := &bench{t, mem.New()}
	out, err := b.run("Pretrain", fmt.Sprintf(`{"name": "tiny", "text": {"source": "files", "from": [%q], "held_out": 0.1}, "keep": "best", "spikes": true, %s}`, stories(t), smallText))
	require.NoError(t, err)
	m := out.Stages["evaluate"].Metrics
	require.Less(t, m["bits_per_byte"], 8.0)
	require.InDelta(t, out.Stages["pretrain"].Metrics["bits_per_byte"], m["bits_per_byte"], 0.2, "on the way and afterwards")
	require.Equal(t, 1.0, out.Stages["publish"].Metrics["promoted"])
	html := read(t, b.store, artifact.RunName("tiny", artifactFolder(out), "report.html"))
	for _, want := range []string{"bits per byte", "Samples", "Training loss", "Validation loss", "Learning rate", "Norm of the gradient", "Tokens per second"} {
		require.Contains(t, html, want)
	}
}

func artifactFolder(o workflows.Outcome) string { return activities.RunFolder(o.Run) }

func TestPretrainSweepsWidths(t *testing.T) {
	b := &bench{t, mem.New()}
	out, err := b.run("Pretrain", fmt.Sprintf(`{"name": "tiny", "text": {"source": "files", "from": [%q], "held_out": 0.1}, "sweep": {"width": [8, 16, 32]}, "publish": "no", %s}`, stories(t), smallText))
	require.NoError(t, err)
	require.Contains(t, out.Stages["scaling"].Metrics, "alpha")
	html := read(t, b.store, artifact.RunName("tiny", artifactFolder(out), "report.html"))
	require.Contains(t, html, "Loss over size")
	require.Contains(t, html, "width 32")
}

func TestPretrainLearnsPairs(t *testing.T) {
	for _, objective := range []string{"clip", "siglip", "blip", "captioning"} {
		t.Run(objective, func(t *testing.T) {
			b := &bench{t, mem.New()}
			out, err := b.run("Pretrain", fmt.Sprintf(`{"name": "tiny", "objective": %q, "pairs": {"train": 64, "held_out": 16}, "vocab": 300, "steps": 4, "batch": 8,
				"gallery": 8, "model": {"width": 16, "layers": 1, "heads": 2, "patch": 16}}`, objective))
			require.NoError(t, err)
			require.Contains(t, out.Stages["evaluate"].Metrics, "r1")
			require.Contains(t, out.Stages["pretrain"].Metrics, map[bool]string{true: "val_loss", false: "r1"}[objective == "captioning"])
		})
	}
}

// TestPretrainTellsEveryFaultBeforeAnyWork: wrong parameters end the run before a
// stage starts, with all that is wrong.
func TestPretrainTellsEveryFaultBeforeAnyWork(t *testing.T) {
	for _, c := range []struct {
		name, params string
		want         []string
	}{
		{"an unknown key", `{"stepz": 3}`, []string{`there is no parameter "stepz": did you mean "steps"`}},
		{"several fields", `{"objective": "gan", "steps": 0, "learning_rate": -1, "model": {"width": 4}}`, []string{
			`objective is "gan": use lm, clip, siglip, blip, captioning or vlm`, "steps is 0: use at least 1", "learning_rate is -1", "model.width is 4: use at least 8",
		}},
		{"data without its held-out part", `{"data": ["text@sha256:abc"]}`, []string{"data and held_out go together"}},
		{"pairs for a language model", `{"data": ["dataset@sha256:abc"], "held_out": "text@sha256:abc"}`, []string{`"dataset@sha256:abc" is no text`}},
		{"weights that do not fit", `{"weights": [1, 2]}`, []string{"weights has 2 numbers for 1 data sets"}},
		{"a sweep of two", `{"sweep": {"width": [64, 64, 96], "steps": [10, 20]}, "minutes": 1}`, []string{"2 different widths", "2 different lengths", "give steps, not minutes"}},
		{"a sweep of pairs", `{"objective": "clip", "sweep": {"width": [8, 16, 32]}}`, []string{"sweep is of language models"}},
		{"heads that do not divide the width", `{"model": {"width": 100, "heads": 3}}`, []string{"stage pretrain", "not a multiple of text.heads, 3"}},
		{"an unknown field of the model", `{"model": {"config": {"text": {"formm": "llama"}}}}`, []string{`unknown field "formm"`}},
		{"stages that do not add up", `{"steps": 100, "stages": [{"steps": 60}, {"steps": 60, "context": 999}]}`, []string{"stages have 120 steps in all, steps is 100", "stages[1].context is 999, more than the model's 128"}},
		{"files without a place", `{"text": {"source": "files"}}`, []string{"from is empty"}},
		{"a batch of one pair", `{"objective": "siglip", "batch": 1}`, []string{"siglip contrasts the pairs of a batch"}},
		{"an artifact that is no digest", `{"data": ["text@sha256:abc"], "held_out": "text@sha256:abc"}`, []string{"sha256"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t, mem.New()}
			_, err := b.run("Pretrain", c.params)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, stage.InvalidPipeline, app.Type())
			require.True(t, app.NonRetryable())
			for _, want := range c.want {
				require.Contains(t, app.Message(), want)
			}
			for n, err := range b.store.List(context.Background(), "") {
				require.NoError(t, err)
				t.Fatalf("there is %s", n.Name)
			}
		})
	}
}
