package dag

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

func TestPublishedVersionsArePinned(t *testing.T) {
	blip := artifact.Artifact{Type: artifact.TypeModel, Digest: artifact.DigestOf([]byte("blip"))}
	find := func(r artifact.PublishedRef) (artifact.Artifact, error) {
		if r.Name == "blip" && r.At == artifact.Champion {
			return blip, nil
		}
		return artifact.Artifact{}, fmt.Errorf("%s: %w: the published models are blip", r, artifact.ErrNotFound)
	}
	spec, err := Parse([]byte(`
name: p
stages:
  - {id: web, kind: ingest}
  - {id: train, kind: train, inputs: {data: web.data, init: "model:blip@champion"}}
  - {id: more, kind: train, inputs: {data: wbe.data, init: "model:clip@champion"}}
`))
	require.NoError(t, err)
	missing, err := spec.Pin(find)
	require.NoError(t, err)
	require.Equal(t, Inputs{"model@" + string(blip.Digest)}, spec.Stages[1].Inputs["init"])

	_, err = NewPlan(spec, testKinds())
	err = spec.WithFaults(err, missing)
	var check *CheckError
	require.ErrorAs(t, err, &check)
	require.Len(t, check.Faults, 2, "the fault of the check and that of the store, at once")
	require.ErrorContains(t, err, `there is no stage "wbe"`)
	require.ErrorContains(t, err, "stage more: inputs.init: model:clip@champion: not found: the published models are blip [published]")

	spec.Stages = spec.Stages[:2]
	plan, err := NewPlan(spec, testKinds())
	require.NoError(t, spec.WithFaults(err, nil))
	require.Equal(t, []artifact.Artifact{blip}, plan.Artifacts())

	away := errors.New("the store is away")
	spec.Stages[1].Inputs["init"] = Inputs{"model:blip@champion"}
	_, err = spec.Pin(func(artifact.PublishedRef) (artifact.Artifact, error) { return artifact.Artifact{}, away })
	require.ErrorIs(t, err, away)
}

func TestAKindWithEffectsAlwaysRuns(t *testing.T) {
	catalog := testKinds()
	for i := range catalog {
		catalog[i].Effects = catalog[i].Name == "report"
	}
	plan, err := NewPlan(&Spec{Name: "p", Stages: []Stage{{ID: "web", Kind: "ingest"}, {ID: "report", Kind: "report"}}}, catalog)
	require.NoError(t, err)
	run := NewRun(plan)
	for id, force := range map[string]string{"web": "", "report": "run-1"} {
		q, err := run.Request(id, "run-1")
		require.NoError(t, err)
		require.Equal(t, force, q.Force, id)
	}
}
