package workflows_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"tempera/infra/temporalx"
	"tempera/workflows"
	"tempera/workflows/dag"
)

// Histories of every released version are kept in testdata/histories: a change
// of workflow code that they do not replay on would break runs in flight. Before
// a release, with a stack and a worker up:
//
//	go test ./workflows -run TestRecord -record 127.0.0.1:7233 -release v2
var (
	record  = flag.String("record", "", "address of a Temporal server with a worker: run the scenarios there and store their histories")
	release = flag.String("release", "v1", "the version that the recorded histories are stored under")
)

const histories = "testdata/histories"

func TestStoredHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(histories, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			f, err := os.Open(file)
			require.NoError(t, err)
			h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.NoError(t, replay(h))
		})
	}
}

func replay(h *historypb.History) error {
	r := worker.NewWorkflowReplayer()
	workflows.Register(r)
	began := h.Events[0].GetWorkflowExecutionStartedEventAttributes()
	return r.ReplayWorkflowHistoryWithOptions(nil, h, worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: began.GetWorkflowId(), RunID: began.GetOriginalExecutionRunId()},
	})
}

func TestAChangedWorkflowDoesNotReplay(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(histories, "v1-demo.json"))
	require.NoError(t, err)
	changed := strings.Replace(string(data), `"name":"Plan"`, `"name":"Plot"`, 1)
	require.NotEqual(t, string(data), changed)
	h, err := client.HistoryFromJSON(strings.NewReader(changed), client.HistoryJSONOptions{})
	require.NoError(t, err)
	require.Error(t, replay(h))
}

// scenario is a run to record.
type scenario struct {
	name, spec string
	drive      func(context.Context, client.Client, string) error // sends updates
}

func scenarios(unique string) []scenario {
	label := func(s string) string { return strings.ReplaceAll(s, "LABEL", unique) }
	update := func(name string, c workflows.Command) func(context.Context, client.Client, string) error {
		return func(ctx context.Context, cl client.Client, id string) error {
			h, err := cl.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
				WorkflowID: id, UpdateName: name, Args: []any{c}, WaitForStage: client.WorkflowUpdateStageCompleted,
			})
			if err != nil {
				return err
			}
			return h.Get(ctx, nil)
		}
	}
	return []scenario{
		{name: "demo", spec: `{}`},
		{name: "full", spec: label(`{"name":"full","stages":[{"id":"data","kind":"noop","params":{"label":"LABEL","shards":12}},
			{"id":"x","kind":"noop","params":{"label":"LABELx","metrics":{"r":0.4}},"inputs":{"after":"data.data"}},
			{"id":"m","kind":"noop","params":{"label":"LABELm","metrics":{"n":1},"fail":"error","fail_shards":[5]},"inputs":{"over":"data.data"},"map":{"window":4,"max_failed":"1"},"retry":{"attempts":2,"interval":"100ms"}},
			{"id":"never","kind":"noop","params":{"label":"LABELn"},"when":"x.r > 1"},
			{"id":"same","kind":"noop","params":{"label":"LABELx","metrics":{"r":0.4}},"inputs":{"after":"data.data"}},
			{"id":"last","kind":"noop","params":{"label":"LABELl"},"needs":["m","same"],"gate":{"metric":"x.r > 0.3"}}]}`)},
		{
			name: "retry", spec: label(`{"name":"retry","stages":[{"id":"a","kind":"noop","params":{"label":"LABEL","fail":"invalid"}},{"id":"b","kind":"noop","needs":["a"],"force":true}]}`),
			drive: update(workflows.UpdateRetry, workflows.Command{Stage: "a", Params: json.RawMessage(`{"fail":"no"}`)}),
		},
		{
			name: "approve", spec: label(`{"name":"approve","stages":[{"id":"a","kind":"noop","params":{"label":"LABEL"},"gate":{"approval":true}}]}`),
			drive: update(workflows.UpdateApprove, workflows.Command{Stage: "a", By: "ada"}),
		},
		{name: "long", spec: label(`{"name":"long","stages":[{"id":"a","kind":"noop","params":{"label":"LABEL","steps":12,"step_ms":1000}}]}`)},
		{name: "continued", spec: label(`{"name":"continued","stages":[{"id":"d","kind":"noop","params":{"label":"d1400","shards":1400}},{"id":"m","kind":"noop","params":{"label":"LABEL"},"inputs":{"over":"d.data"},"map":{"window":64}}]}`)},
		{name: "about", spec: `{"name":"about","stages":[{"id":"data","kind":"ingest","params":{"count":24,"unique":true}},{"id":"words","kind":"tokenizer","inputs":{"data":"data.dataset"}},
			{"id":"model","kind":"pretrain","inputs":{"data":"data.dataset","tokenizer":"words.tokenizer"},"params":{"objective":"clip","steps":3,"batch":8,"model":{"width":16,"layers":1,"text_layers":1,"heads":2,"patch":8}},"force":true},
			{"id":"eval","kind":"evaluate","inputs":{"model":"model.model","data":"data.dataset"},"params":{"gallery":12},"force":true},
			{"id":"report","kind":"report","inputs":{"evaluations":"eval.evaluation"},"params":{"labels":["m"],"steps":[3],"seeds":[1]}}]}`},
		{name: "broken", spec: label(`{"name":"broken","defaults":{"repair":"0s","retry":{"attempts":2,"interval":"100ms"}},"stages":[{"id":"a","kind":"noop","params":{"label":"LABEL","fail":"error"}}]}`)},
	}
}

func TestRecord(t *testing.T) {
	if *record == "" {
		return // a tool, not a test
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := client.Dial(client.Options{HostPort: *record})
	require.NoError(t, err)
	defer c.Close()
	unique := time.Now().UTC().Format("150405")
	for _, s := range scenarios(unique) {
		id := "record-" + s.name + "-" + unique
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: temporalx.WorkflowQueue}, workflows.PipelineName, json.RawMessage(s.spec))
		require.NoError(t, err)
		if s.drive != nil {
			require.Eventually(t, func() bool {
				v, err := c.QueryWorkflow(ctx, id, "", workflows.QueryStatus)
				var state dag.Run
				return err == nil && v.Get(&state) == nil && state.Stalled()
			}, 20*time.Second, 100*time.Millisecond)
			require.NoError(t, s.drive(ctx, c, id))
		}
		if err := run.Get(ctx, nil); s.name != "broken" {
			require.NoError(t, err)
		}
		h := store(ctx, t, c, s.name, id)
		for _, e := range h.Events {
			if child := e.GetChildWorkflowExecutionStartedEventAttributes(); child != nil {
				id := child.GetWorkflowExecution().GetWorkflowId()
				start := h.Events[e.GetChildWorkflowExecutionStartedEventAttributes().GetInitiatedEventId()-1].GetStartChildWorkflowExecutionInitiatedEventAttributes()
				var in workflows.StageInput
				require.NoError(t, json.Unmarshal(start.GetInput().GetPayloads()[0].GetData(), &in))
				store(ctx, t, c, s.name+"-"+in.Stage, id)
			}
		}
	}
}

// store keeps the history of a workflow's last run.
func store(ctx context.Context, t *testing.T, c client.Client, name, id string) *historypb.History {
	t.Helper()
	h := &historypb.History{}
	for it := c.GetWorkflowHistory(ctx, id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
	}
	data, err := protojson.Marshal(h)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(histories, 0o755))
	data = regexp.MustCompile(`"identity":\s*"[^"]*"`).ReplaceAll(data, []byte(`"identity":"worker"`))
	require.NoError(t, os.WriteFile(filepath.Join(histories, *release+"-"+name+".json"), append(data, '\n'), 0o644))
	return h
}
