package command

import (
	"context"

	"tempera/activities"
	"tempera/infra/artifact"
)

// addResults reads the tables of a run's comparisons. Without the store the run
// is shown all the same, and a line says why there are none.
func (a *app) addResults(ctx context.Context, r *runInfo) {
	var found []artifact.Artifact
	for _, id := range r.order {
		s := r.Stages[id]
		if s.Result == nil {
			continue
		}
		if out, ok := s.Result.Outputs["comparison"]; ok {
			found = append(found, out)
		}
	}
	if len(found) == 0 {
		return
	}
	store, err := a.store(ctx)
	if err != nil {
		a.say("the results cannot be read: %v", err)
		return
	}
	for _, out := range found {
		text, err := resultsOf(ctx, store, out)
		if err != nil {
			a.say("the results cannot be read: %v", err)
			continue
		}
		r.Results = append(r.Results, text)
	}
}

func resultsOf(ctx context.Context, s artifact.Store, comparison artifact.Artifact) (string, error) {
	m, err := artifact.LoadManifest(ctx, s, comparison)
	if err != nil {
		return "", err
	}
	f, err := m.Find(activities.ResultsFile)
	if err != nil {
		return "", err
	}
	data, err := artifact.ReadAll(ctx, s, f.Digest, artifact.MaxJSON)
	return string(data), err
}
