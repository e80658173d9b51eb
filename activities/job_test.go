package activities

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/device"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// jobSpec is caption bootstrapping with every kind of stage, as small as it gets.
const jobSpec = `
name: job
stages:
  - {id: source, kind: ingest, params: {count: 60, seed: 1, shard_records: 20}}
  - {id: web, kind: noise, inputs: {data: source.dataset}, params: {mismatch: 0.5}}
  - {id: clean, kind: ingest, params: {count: 40, seed: 2}}
  - {id: gallery, kind: ingest, params: {count: 24, seed: 3, unique: true}}
  - {id: words, kind: tokenizer, inputs: {data: [web.dataset, clean.dataset]}}
  - id: base
    kind: pretrain
    inputs: {data: [web.dataset, clean.dataset], tokenizer: words.tokenizer}
    params: {objective: blip, steps: 3, batch: 8, queue: 1, model: {width: 16, layers: 1, text_layers: 1, heads: 2, patch: 8}}
  - {id: judge, kind: finetune, inputs: {model: base.model, data: clean.dataset}, params: {steps: 2, batch: 8, lm: 0, queue: 0}}
  - {id: kept, kind: filter, inputs: {model: judge.model, data: web.dataset}, params: {score: both, keep: 0.4}}
  - {id: captions, kind: caption, inputs: {model: base.model, data: web.dataset}, params: {seed: 5}}
  - {id: all, kind: merge, inputs: {data: [kept.dataset, captions.dataset, clean.dataset]}}
  - id: new
    kind: pretrain
    inputs: {data: all.dataset, tokenizer: words.tokenizer}
    params: {objective: clip, steps: 3, batch: 8, model: {width: 16, layers: 1, text_layers: 1, heads: 2, patch: 8}}
  - {id: eval_new, kind: evaluate, inputs: {model: new.model, data: gallery.dataset}, params: {gallery: 12}}
  - {id: eval_base, kind: evaluate, inputs: {model: base.model, data: gallery.dataset}, params: {gallery: 12, rerank: 3, captions: 6}}
  - id: compare
    kind: compare
    inputs: {evaluations: [eval_new.evaluation, eval_base.evaluation]}
    params: {labels: [new, base], steps: [3, 3], seeds: [1, 1], pairs: [{method: new, baseline: base, margin: 1}]}
  - id: report
    kind: report
    inputs: {evaluations: [eval_new.evaluation, eval_base.evaluation], comparison: compare.comparison, datasets: [kept.dataset, kept.rejected]}
    params: {title: Job, labels: [new, base], steps: [3, 3], seeds: [1, 1], dataset_labels: [kept, rejected], images: 3}
`

// runJob runs a spec without a server, on a GPU where there is one, and returns the results of its stages.
func runJob(t *testing.T, threads int, gpu device.Backend) (artifact.Store, map[string]stage.Result) {
	t.Helper()
	spec, err := dag.Parse([]byte(jobSpec))
	require.NoError(t, err)
	catalog := NewCatalog(All()...)
	plan, err := dag.NewPlan(spec, catalog)
	require.NoError(t, err)
	store, run, results := mem.New(), dag.NewRun(plan), map[string]stage.Result{}
	for !run.Done() {
		require.False(t, run.Stalled())
		for _, id := range run.Ready() {
			require.NoError(t, run.Started(id))
			q, err := run.Request(id, "run")
			require.NoError(t, err)
			result := &stage.Result{Key: q.Key}
			require.NoError(t, catalog.kinds[q.Kind].Run(t.Context(), &Task{
				Request: q, Store: store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(), Threads: threads, GPU: gpu,
				Checkpoints: nowhere{}, Metrics: nowhere{}, Progress: func(Progress) {}, Result: result, Stopping: make(chan struct{}),
			}), id)
			require.NoError(t, run.Succeeded(id, *result))
			require.Equal(t, dag.Succeeded, run.Status(id).State, run.Status(id).Message)
			results[id] = *result
		}
	}
	return store, results
}

// nowhere keeps neither checkpoints nor metrics.
type nowhere struct{}

func (nowhere) Save(context.Context, int64, func(io.Writer) error) error { return nil }

func (nowhere) Load(context.Context, func(int64, io.Reader) error) (bool, error) { return false, nil }

func (nowhere) Write(int64, map[string]float64) error { return nil }

func TestTheJobGivesTheSameArtifactsForAnyNumberOfThreads(t *testing.T) {
	_, one := runJob(t, 1, nil)
	store, two := runJob(t, 2, nil)
	for _, id := range slices.Sorted(maps.Keys(one)) {
		require.Equal(t, one[id], two[id], id)
	}

	m := two["kept"].Metrics
	require.Equal(t, 60.0, m["pairs"])
	require.Equal(t, 24.0, m["kept"], "keep 0.4 of 60")
	require.InDelta(t, 30, m["right"], 2, "half of the captions belong to another image")
	require.Equal(t, 60.0, two["captions"].Metrics["captions"])
	require.Equal(t, 124.0, two["all"].Metrics["records"])
	for _, name := range []string{"r1", "itm_r1", "cider_d", "bleu_4", "factual"} {
		require.Contains(t, two["eval_base"].Metrics, name)
	}
	require.NotContains(t, two["eval_new"].Metrics, "cider_d", "a clip model writes no captions")

	html, _, err := store.Read(t.Context(), artifact.RunName("job", "run", "report.html"))
	require.NoError(t, err)
	page, err := io.ReadAll(html)
	require.NoError(t, err)
	for _, want := range []string{"<title>Job", "recall@1", "kept (3 of 24)", "rejected (3 of 36)", "data:image/png;base64"} {
		require.True(t, strings.Contains(string(page), want), want)
	}
}

func TestWrongInputOfTheJobsKinds(t *testing.T) {
	catalog := NewCatalog(All()...)
	for _, c := range []struct{ name, kind, params, want string }{
		{"a weight for nothing is told", "pretrain", `{"itc":0,"itm":0,"lm":0}`, "itc, itm and lm are all 0"},
		{"a batch of one has no negatives", "finetune", `{"batch":1}`, "batch is 1: blip contrasts the pairs of a batch, use at least 2"},
		{"an unknown objective is named with the known ones", "pretrain", `{"objective":"clap"}`, `use lm, clip, siglip, blip, captioning or vlm`},
		{"a misspelt key gets a suggestion", "pretrain", `{"learning_rat":1}`, `did you mean "learning_rate"`},
		{"beams and sampling exclude each other", "caption", `{"beams":4}`, "set top_p to 0"},
		{"more than everything cannot be kept", "filter", `{"keep":1.5}`, "keep is 1.5: use at most 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalog.Resolve(c.kind, json.RawMessage(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
}
