package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/score"
	"tempera/workflows/stage"
)

func TestResultsAreATableThatReadsAsText(t *testing.T) {
	p := compareParams{evaluationRows: evaluationRows{
		Labels: []string{"raw", "new", "raw", "new", "captioner"}, Steps: []int64{50, 50, 50, 50, 9}, Seeds: []uint64{1, 1, 2, 2, 1},
	}, Metric: "r1"}
	values := map[string]measures{"r1": {{"raw", 50, 1}: 1, {"raw", 50, 2}: 2, {"new", 50, 1}: 40, {"new", 50, 2}: 43}}
	gaps := []Gap{{"new", "raw", 50, "r1", score.Comparison{Gaps: []float64{39, 41}, Gap: score.Interval{Mean: 40, Low: 39, High: 41}, Positive: 2}}}
	require.Equal(t, `| arm | steps | r1   | ahead of it                             |
| --- | ----- | ---- | --------------------------------------- |
| raw | 50    | 1.5  | new +40.0 [39.0, 41.0], in 2 of 2 seeds |
| new | 50    | 41.5 |                                         |
`, resultsTable(p, values, gaps))
}

// TestLessIsAheadWhereAMetricIsOneToBeSmall compares by two metrics, of which one is better the smaller it is.
func TestLessIsAheadWhereAMetricIsOneToBeSmall(t *testing.T) {
	store := mem.New()
	put := func(pass, length float64) artifact.Artifact {
		data, err := artifact.EncodeJSON(Evaluation{Metrics: map[string]score.Interval{"pass_1": {Mean: pass}, "length_wrong": {Mean: length}}})
		require.NoError(t, err)
		a, err := putTexts(t.Context(), store, artifact.TypeEvaluation, []text{{evaluationFile, data}})
		require.NoError(t, err)
		return a
	}
	q := stage.Request{Inputs: ports{"evaluations": {put(30, 40), put(32, 15), put(40, 50), put(42, 28)}}}
	task := &Task{Request: q, Store: store, Result: &stage.Result{}}
	p := compareParams{
		evaluationRows: evaluationRows{Labels: []string{"grpo", "dapo", "grpo", "dapo"}, Steps: []int64{0, 0, 0, 0}, Seeds: []uint64{1, 1, 2, 2}},
		Metric:         "pass_1", Pairs: []contest{{Method: "dapo", Baseline: "grpo"}, {Method: "dapo", Baseline: "grpo", Metric: "length_wrong"}},
	}
	require.NoError(t, runCompare(t.Context(), task, p))
	require.Equal(t, map[string]float64{"gap_dapo_grpo_0": 2, "gap_dapo_grpo_0_length_wrong": 23.5}, task.Result.Metrics)
	var gaps []Gap
	require.NoError(t, readJSONFile(t.Context(), store, task.Result.Outputs["comparison"], jsonFile{comparisonFile, &gaps}))
	require.Equal(t, "pass_1 better length_wrong better", fmt.Sprint(gaps[0].Metric, " ", gaps[0].Result.Verdict, " ", gaps[1].Metric, " ", gaps[1].Result.Verdict))
	require.Equal(t, []float64{25, 22}, gaps[1].Result.Gaps)
	m, err := artifact.LoadManifest(t.Context(), store, task.Result.Outputs["comparison"])
	require.NoError(t, err)
	file, err := m.Find(ResultsFile)
	require.NoError(t, err)
	data, err := artifact.ReadAll(t.Context(), store, file.Digest, artifact.MaxJSON)
	require.NoError(t, err)
	table := string(data)
	require.Contains(t, table, "| grpo | 0     | 35.0   | dapo +2.0 [2.0, 2.0], in 2 of 2 seeds |")
	require.Contains(t, table, "| grpo | 0     | 45.0         | dapo +23.5 [22.0, 25.0], in 2 of 2 seeds |")
}
