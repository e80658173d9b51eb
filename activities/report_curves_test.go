package activities

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/activities/report"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

func TestManyCurvesAreSpreadOverCharts(t *testing.T) {
	task := &Task{Store: mem.New(), Request: stage.Request{Pipeline: "p", Run: "run"}}
	p := reportParams{}
	for i := range 19 {
		p.Curves = append(p.Curves, fmt.Sprintf("train_%d", i))
		text := "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":1}\n"
		name := artifact.RunName("p", "run", p.Curves[i]+"/metrics.jsonl")
		require.NoError(t, task.Store.Write(t.Context(), name, strings.NewReader(text), int64(len(text))))
	}
	s, err := curveSection(t.Context(), task, p)
	require.NoError(t, err)
	require.Len(t, s.Blocks, 3)
	var page bytes.Buffer
	require.NoError(t, report.Render(&page, &report.Report{Sections: []report.Section{*s}}))
	for _, id := range p.Curves {
		require.Contains(t, page.String(), id)
	}
}
