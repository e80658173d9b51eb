package activities

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

// madeExamples runs the kind examples.
func madeExamples(t *testing.T, store artifact.Store, params string, against ...artifact.Artifact) (*stage.Result, error) {
	t.Helper()
	k := examples()
	resolved, err := k.Check([]byte(params))
	if err != nil {
		return nil, err
	}
	task := &Task{
		Request: stage.Request{Kind: "examples", Params: resolved, Inputs: map[string][]artifact.Artifact{"against": against}},
		Store:   store, Log: slog.New(slog.DiscardHandler), Scratch: t.TempDir(),
		Progress: func(Progress) {}, Result: &stage.Result{},
	}
	return task.Result, k.Run(context.Background(), task)
}

func loadRows(t *testing.T, store artifact.Store, a artifact.Artifact) []*example.Example {
	t.Helper()
	rows, err := example.Load(t.Context(), store, a)
	require.NoError(t, err)
	return rows
}

func rowsFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	return path
}

func TestExamplesOfATask(t *testing.T) {
	store := mem.New()
	res, err := madeExamples(t, store, `{"count": 50, "rows": "demonstrations", "params": {"split": "train"}}`)
	require.NoError(t, err)
	rows := loadRows(t, store, res.Outputs["examples"])
	require.Len(t, rows, 50)
	require.Equal(t, example.Completed, rows[0].Form())
	again, err := madeExamples(t, store, `{"count": 50, "rows": "demonstrations", "params": {"split": "train"}}`)
	require.NoError(t, err)
	require.Equal(t, res.Outputs, again.Outputs)

	test, err := madeExamples(t, store, `{"count": 40, "rows": "problems", "seed": 2, "params": {"split": "test"}}`)
	require.NoError(t, err)
	for _, e := range loadRows(t, store, test.Outputs["examples"]) {
		require.Equal(t, example.Task, e.Form())
		for _, other := range rows {
			require.NotEqual(t, e.Prompt.Plain, other.Prompt.Plain)
		}
	}
}

func TestExamplesWithoutParameters(t *testing.T) {
	res, err := madeExamples(t, mem.New(), `{}`)
	require.NoError(t, err)
	require.Equal(t, 1000.0, res.Metrics["rows"])
}

func TestExamplesOfFilesAreSifted(t *testing.T) {
	store := mem.New()
	long := "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
	path := rowsFile(t,
		`{"prompt": "one?", "completion": "1"}`,
		`{"prompt": "one?", "completion": "1"}`,
		`{"prompt": "two?", "completion": "2"}`,
		fmt.Sprintf(`{"prompt": "Listen. %s How many?", "completion": "72"}`, long),
		`{"prompt": "What, IS it", "completion": "that"}`,
		`{"text": "no row"}`,
	)
	w := example.NewWriter(store, "test", example.Meta{})
	require.NoError(t, w.Add(t.Context(), &example.Example{ID: "a", Prompt: example.Plain(long + " How many clips?")}))
	require.NoError(t, w.Add(t.Context(), &example.Example{ID: "b", Prompt: example.Plain("What is it?")}))
	against, err := w.Close(t.Context())
	require.NoError(t, err)

	res, err := madeExamples(t, store, fmt.Sprintf(`{"source": "files", "from": [%q], "count": 0, "max_bad": "1"}`, path), against)
	require.NoError(t, err)
	rows := loadRows(t, store, res.Outputs["examples"])
	require.Len(t, rows, 2)
	require.Equal(t, 1.0, res.Metrics["duplicates"])
	require.Equal(t, 2.0, res.Metrics["overlaps"])
	require.Equal(t, 1.0, res.Metrics["unusable"])
	var reasons []string
	for _, q := range res.Quarantined {
		reasons = append(reasons, q.Item+": "+q.Reason)
	}
	require.Equal(t, []string{
		"rows.jsonl#6: row cannot be used: it has no messages, no prompt",
		`rows.jsonl#4: it shares "natalia sold clips to 48 of her friends in april and then she" with a prompt of against`,
		"rows.jsonl#5: its prompt is one of against, word for word",
	}, reasons)

	_, err = madeExamples(t, store, fmt.Sprintf(`{"source": "files", "from": [%q], "count": 0, "max_bad": "0"}`, path))
	require.ErrorContains(t, err, "rows.jsonl#6")
}

func TestNearDuplicatesOfFiles(t *testing.T) {
	words := make([]string, 60)
	for i := range words {
		words[i] = fmt.Sprint("word", i)
	}
	first := strings.Join(words, " ")
	words[30] = "other"
	path := rowsFile(t, fmt.Sprintf(`{"prompt": %q, "completion": "c"}`, first), fmt.Sprintf(`{"prompt": %q, "completion": "c"}`, strings.Join(words, " ")), `{"prompt": "else", "completion": "c"}`)
	res, err := madeExamples(t, mem.New(), fmt.Sprintf(`{"source": "files", "from": [%q], "count": 0, "duplicates": "near", "similarity": 0.7}`, path))
	require.NoError(t, err)
	require.Equal(t, 2.0, res.Metrics["rows"])
	require.Equal(t, 1.0, res.Metrics["near_duplicates"])
}

// Rows with one prompt are on one side, whatever else they have.
func TestPromptsAreHeldOutAsAWhole(t *testing.T) {
	var lines []string
	for i := range 200 {
		for k := range 2 {
			lines = append(lines, fmt.Sprintf(`{"prompt": "question %d", "completion": "answer %d"}`, i, k))
		}
	}
	path := rowsFile(t, lines...)
	for _, held := range []string{`"held_out": 0.2`, `"held_out_rows": 40`} {
		store := mem.New()
		res, err := madeExamples(t, store, fmt.Sprintf(`{"source": "files", "from": [%q], "count": 0, %s}`, path, held))
		require.NoError(t, err)
		train, test := loadRows(t, store, res.Outputs["examples"]), loadRows(t, store, res.Outputs["held_out"])
		require.Len(t, append(train, test...), 400)
		seen := map[string]bool{}
		for _, e := range train {
			seen[e.Prompt.Plain] = true
		}
		for _, e := range test {
			require.False(t, seen[e.Prompt.Plain])
		}
		if strings.Contains(held, "rows") {
			require.Len(t, test, 80)
		} else {
			require.InDelta(t, 80, len(test), 40)
		}
	}
}

func TestWrongExamples(t *testing.T) {
	for _, c := range []struct{ name, params, want string }{
		{"an unknown source", `{"source": "quiz"}`, `source is "quiz": use files, arithmetic`},
		{"a task with files", `{"source": "arithmetic", "from": ["x"]}`, "source is arithmetic: use source: files"},
		{"a task's wrong parameter", `{"source": "arithmetic", "params": {"nonsense": 1}}`, "nonsense"},
		{"no count", `{"count": 0}`, "count is 0"},
		{"files without places", `{"source": "files"}`, "from is empty"},
		{"two ways to hold out", `{"held_out": 0.1, "held_out_rows": 3}`, "leave one out"},
		{"a file that is not there", `{"source": "files", "from": ["/nowhere/x.jsonl"]}`, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := madeExamples(t, mem.New(), c.params)
			require.ErrorContains(t, err, c.want)
		})
	}
}
