package workflows_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/workflows"
)

func TestCaptionBootstrapPublishesWhatItsFirstRepetitionMade(t *testing.T) {
	bootstrap, err := workflows.Find("CaptionBootstrap")
	require.NoError(t, err)
	published := func(params string) (stages []string) {
		spec, err := bootstrap.Spec([]byte(params))
		require.NoError(t, err)
		for _, s := range spec.Stages {
			if s.Kind != "publish" {
				continue
			}
			var p struct{ Name, Alias, Metric string }
			require.NoError(t, json.Unmarshal(s.Params, &p))
			line := strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", s.ID, p.Name, p.Alias, p.Metric)) + ";"
			for _, port := range slices.Sorted(maps.Keys(s.Inputs)) {
				line += " " + strings.Join(s.Inputs[port], " ")
			}
			stages = append(stages, line)
		}
		return stages
	}
	require.Equal(t, []string{
		"publish: caption-bootstrap candidate; compare.comparison bootstrapped.dataset eval_bootstrapped_500.evaluation train_bootstrapped_500.model",
		"publish_captioner: caption-bootstrap-captioner candidate; eval_captioner.evaluation captioner.model",
		"publish_filter: caption-bootstrap-filter candidate; filter.model",
	}, published(`{}`))
	require.Equal(t, []string{
		"publish: b champion r1; compare.comparison bootstrapped_r2_s1.dataset eval_bootstrapped_500_s1.evaluation train_bootstrapped_500_s1.model",
		"publish_captioner: b-captioner champion cider_d; eval_captioner_r2_s1.evaluation captioner_r2_s1.model",
		"publish_filter: b-filter candidate; filter_r2_s1.model",
	}, published(`{"name": "b", "seeds": 2, "rounds": 2, "arm_steps": [250, 500, 100], "publish": "champion"}`))
	require.Len(t, published(`{"sources": ["scenes", "emoji"]}`), 6)
	require.Equal(t, "publish: caption-bootstrap candidate; bootstrapped.dataset", published(`{"arms": ["raw"]}`)[0])
	require.Empty(t, published(`{"publish": "no"}`))
}
