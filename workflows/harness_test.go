package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"tempera/infra/artifact"
	"tempera/workflows"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// catalog holds the kinds of these tests: work takes {"n": number} and makes
// an output out and a metric n; about does so too, and reads the run's record.
type catalog struct{}

func (catalog) Names() []string { return []string{"about", "work"} }

func (c catalog) Kind(name string) (stage.Descriptor, bool) {
	return stage.Descriptor{
		Name: name, Version: 1, Queue: stage.CPU, Map: "over", Record: name == "about",
		Inputs: []stage.Port{
			{Name: "in", Many: true, Optional: true}, {Name: "over", Type: artifact.TypeDataset, Optional: true},
		},
		Outputs: []stage.Port{{Name: "out", Type: artifact.TypeDataset, Optional: true}},
	}, slices.Contains(c.Names(), name)
}

type workParams struct {
	N int `json:"n" min:"0"`
}

func (catalog) Resolve(_ string, params json.RawMessage) (json.RawMessage, error) {
	p, faults := dag.DecodeParams(workParams{}, params)
	if len(faults) > 0 {
		return nil, errors.New(faults[0])
	}
	return json.Marshal(p)
}

// world stands for the workers and the store: the control activities on the
// test catalog, and the kind work as the test wants it.
type world struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment

	mu      sync.Mutex
	known   map[string]stage.Result
	shards  int // of every data set
	done    []byte
	work    func(ctx context.Context, q stage.Request) (stage.Result, error)
	await   func(id string) (stage.Result, error)
	ran     []string // stages, in the order of their ends
	records []stage.RunRecord
	collect []stage.CollectRequest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	w := &world{t: t, env: suite.NewTestWorkflowEnvironment(), known: map[string]stage.Result{}}
	w.env.SetTestTimeout(20 * time.Second)
	workflows.Register(w.env)
	for name, f := range map[string]any{
		stage.ActivityPlan: w.plan, stage.ActivityResolve: w.resolve, stage.ActivityPublish: w.publish,
		stage.ActivityCountShards: w.count, stage.ActivityCollect: w.join, stage.ActivityAwait: w.awaitStage,
		stage.ActivityProgress: func(context.Context, []string) (map[string]dag.Progress, error) { return nil, nil },
		"work":                 w.run, "about": w.run,
	} {
		w.env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	return w
}

func (w *world) plan(_ context.Context, q stage.PlanRequest) (stage.PlanResult, error) {
	spec, err := dag.Parse(q.Spec)
	if err == nil {
		var plan *dag.Plan
		if plan, err = dag.NewPlan(spec, catalog{}); err == nil {
			data, err := json.Marshal(plan)
			return stage.PlanResult{Plan: data, Digest: artifact.DigestOf(data), Known: w.known}, err
		}
	}
	return stage.PlanResult{}, temporal.NewNonRetryableApplicationError(err.Error(), stage.InvalidPipeline, nil)
}

func (w *world) resolve(_ context.Context, q stage.ResolveRequest) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, raw := range []json.RawMessage{q.Params, q.Change} {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, err
		}
		maps.Copy(all, m)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	resolved, err := catalog{}.Resolve(q.Kind, data)
	if err != nil {
		return nil, temporal.NewNonRetryableApplicationError(err.Error(), stage.InvalidInput, nil)
	}
	return resolved, nil
}

func (w *world) publish(_ context.Context, rec stage.RunRecord) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, rec)
	return nil
}

func (w *world) count(_ context.Context, q stage.CountRequest) (stage.ShardCount, error) {
	n := stage.ShardCount{Count: w.shards}
	if q.From == 0 {
		n.Done = w.done
	}
	return n, nil
}

func (w *world) join(_ context.Context, q stage.CollectRequest) (stage.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collect = append(w.collect, q)
	return stage.Result{Key: q.Key, Quarantined: q.Quarantined, Metrics: map[string]float64{"shards": float64(q.Count - len(q.Missing))}}, nil
}

func (w *world) awaitStage(_ context.Context, id string) (stage.Result, error) { return w.await(id) }

func (w *world) run(ctx context.Context, q stage.Request) (stage.Result, error) {
	res := resultOf(q)
	var err error
	if w.work != nil {
		res, err = w.work(ctx, q)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.Shard == nil {
		w.ran = append(w.ran, q.Stage)
	} else {
		w.ran = append(w.ran, fmt.Sprintf("%s/%d", q.Stage, q.Shard.Index))
	}
	return res, err
}

// resultOf is what work makes of a request.
func resultOf(q stage.Request) stage.Result {
	var p workParams
	if err := json.Unmarshal(q.Params, &p); err != nil {
		panic(err)
	}
	return stage.Result{
		Key:     q.Key,
		Outputs: map[string]artifact.Artifact{"out": {Type: artifact.TypeDataset, Digest: artifact.DigestOf([]byte(q.Key))}},
		Metrics: map[string]float64{"n": float64(p.N)},
	}
}

func broken(text string) error {
	return temporal.NewNonRetryableApplicationError(text, stage.StageFailed, nil)
}

// start runs the spec to its end.
func (w *world) start(spec string) {
	w.t.Helper()
	parsed, err := dag.Parse([]byte(spec))
	require.NoError(w.t, err)
	raw, err := json.Marshal(parsed)
	require.NoError(w.t, err)
	w.env.ExecuteWorkflow(workflows.Pipeline, json.RawMessage(raw))
	require.True(w.t, w.env.IsWorkflowCompleted())
}

// at sends an update at a time of the run and returns how it was answered,
// once the run has ended.
func (w *world) at(after time.Duration, name string, c workflows.Command) func() error {
	answer := errors.New("no answer")
	w.env.RegisterDelayedCallback(func() {
		w.env.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { answer = err },
			OnComplete: func(_ any, err error) { answer = err },
		}, c)
	}, after)
	return func() error { return answer }
}

// outcome returns what the run returned.
func (w *world) outcome() workflows.Outcome {
	w.t.Helper()
	require.NoError(w.t, w.env.GetWorkflowError())
	var out workflows.Outcome
	require.NoError(w.t, w.env.GetWorkflowResult(&out))
	return out
}

// states returns the states in the last record.
func (w *world) states() map[string]string {
	states := map[string]string{}
	for _, s := range w.records[len(w.records)-1].Stages {
		states[s.ID] = s.State
	}
	return states
}

func (w *world) count1(id string) int {
	n := 0
	for _, s := range w.ran {
		if s == id {
			n++
		}
	}
	return n
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
