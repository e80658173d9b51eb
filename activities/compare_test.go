package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/score"
)

func TestResultsAreATableThatReadsAsText(t *testing.T) {
	p := compareParams{evaluationRows: evaluationRows{
		Labels: []string{"raw", "new", "raw", "new", "captioner"}, Steps: []int64{50, 50, 50, 50, 9}, Seeds: []uint64{1, 1, 2, 2, 1},
	}, Metric: "r1"}
	values := map[row]float64{{"raw", 50, 1}: 1, {"raw", 50, 2}: 2, {"new", 50, 1}: 40, {"new", 50, 2}: 43}
	gaps := []Gap{{"new", "raw", 50, "r1", score.Comparison{Gaps: []float64{39, 41}, Gap: score.Interval{Mean: 40, Low: 39, High: 41}, Positive: 2}}}
	require.Equal(t, `| arm | steps | r1   | ahead of it                             |
| --- | ----- | ---- | --------------------------------------- |
| raw | 50    | 1.5  | new +40.0 [39.0, 41.0], in 2 of 2 seeds |
| new | 50    | 41.5 |                                         |
`, resultsTable(p, values, gaps))
}
