package host

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/workflows/stage"
)

// TestPretrainInRounds: two replicas of a language model, beside one worker on as
// many tokens.
func TestPretrainInRounds(t *testing.T) {
	b := &bench{t, mem.New()}
	out, err := b.run("Pretrain", fmt.Sprintf(`{"name": "tiny", "text": {"source": "files", "from": [%q], "held_out": 0.1}, "vocab": 320, "steps": 12, "batch": 4, "warm_up": 2,
		"samples": 2, "model": {"width": 16, "context": 32, "layers": 1, "heads": 2}, "data_parallel": {"replicas": 2, "local_steps": 4, "controls": ["steps", "batch"]}}`, stories(t)))
	require.NoError(t, err)
	last := out.Stages["pretrain"]
	require.InDelta(t, last.Metrics["bits_per_byte"], out.Stages["evaluate"].Metrics["bits_per_byte"], 0.2, "after the last round and afterwards")
	require.Less(t, last.Metrics["loss"], out.Stages["round_1"].Metrics["loss"])
	sum := 0.0
	for round := range 3 {
		for replica := range 2 {
			sum += out.Stages[fmt.Sprintf("round_%d_replica_%d", round+1, replica+1)].Metrics["tokens"]
		}
	}
	require.Equal(t, sum, last.Metrics["tokens"])
	require.Equal(t, 24.0, out.Stages["pretrain_steps"].Metrics["steps"])
	require.Equal(t, 12.0, out.Stages["pretrain_batch"].Metrics["steps"])
	require.InDelta(t, out.Stages["pretrain_steps"].Metrics["epochs"], out.Stages["pretrain_batch"].Metrics["epochs"], 0.5)
	html := read(t, b.store, artifact.RunName("tiny", artifactFolder(out), "report.html"))
	for _, want := range []string{"2 replicas, rounds of 4 steps", "one worker, 24 steps", "one worker, batches of 8", "Training loss", "Bits per byte of held-out text", "How far replicas agree"} {
		require.Contains(t, html, want)
	}
	require.Equal(t, 1.0, out.Stages["publish"].Metrics["promoted"])
}

// TestRoundsOfOneReplicaArePretrain: the workflow gives every objective the start,
// the data and the schedule of a single training.
func TestRoundsOfOneReplicaArePretrain(t *testing.T) {
	for _, objective := range []string{"lm", "siglip", "captioning", "vlm"} {
		t.Run(objective, func(t *testing.T) {
			b := &bench{t, mem.New()}
			out, err := b.run("Pretrain", fmt.Sprintf(`{"name": "tiny", "objective": %q, "text": {"source": "files", "from": [%q], "held_out": 0.1}, "pairs": {"train": 64, "held_out": 16}, "vocab": 300,
				"steps": 4, "batch": 8, "gallery": 8, "samples": 1, "vlm": {%s}, "model": {"width": 16, "layers": 1, "heads": 2, "patch": 16, "context": 32},
				"data_parallel": {"replicas": 1, "local_steps": 2, "outer_lr": 1, "outer_momentum": 0, "controls": ["steps"]}}`,
				objective, stories(t), map[bool]string{true: `"prompt": "a picture of"`}[objective == "vlm"]))
			require.NoError(t, err)
			require.Equal(t, weights(t, b.store, out.Stages["pretrain_steps"]), weights(t, b.store, out.Stages["pretrain"]))
		})
	}
}

// weights is the digest of a result's weights.
func weights(t *testing.T, s artifact.Store, r stage.Result) artifact.Digest {
	t.Helper()
	m, err := artifact.LoadManifest(t.Context(), s, r.Outputs["model"])
	require.NoError(t, err)
	f, err := m.Find("model.safetensors")
	require.NoError(t, err)
	return f.Digest
}

func TestWrongRoundsAreToldBeforeAnyWork(t *testing.T) {
	for name, c := range map[string]struct {
		params string
		want   []string
	}{
		"nothing of what is needed": {`{"data_parallel": {}}`, []string{"data_parallel.replicas is 0: use at least 1", "data_parallel.local_steps is 0: use at least 1"}},
		"rounds that are broken":    {`{"steps": 100, "data_parallel": {"replicas": 2, "local_steps": 30}}`, []string{"data_parallel.local_steps is 30, and steps, 100, is no multiple of it"}},
		"too many stages":           {`{"steps": 2000, "data_parallel": {"replicas": 2, "local_steps": 1}}`, []string{"6000 stages, and a run has 4000 at most: raise local_steps"}},
		"what replicas do not take": {
			`{"minutes": 1, "spikes": true, "keep": "best", "evaluate_every": 10, "stages": [{"steps": 0}], "data_parallel": {"replicas": 2, "local_steps": 50}}`,
			[]string{"give steps, not minutes", "stages go not together", "spikes go not together", "leave patience and keep out", "leave evaluate_every out"},
		},
		"a sweep":           {`{"sweep": {"width": [8, 16, 32]}, "data_parallel": {"replicas": 2, "local_steps": 50}}`, []string{"data_parallel and sweep go not together"}},
		"an unknown key":    {`{"data_parallel": {"replica": 2}}`, []string{`there is no parameter "data_parallel.replica": did you mean "replicas"`}},
		"an unknown arm":    {`{"data_parallel": {"replicas": 2, "local_steps": 50, "controls": ["width"]}}`, []string{`data_parallel.controls[0] is "width": use steps or batch`}},
		"a momentum of one": {`{"data_parallel": {"replicas": 2, "local_steps": 50, "outer_momentum": 1}}`, []string{"data_parallel.outer_momentum is 1: use less than 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&bench{t, mem.New()}).run("Pretrain", c.params)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, stage.InvalidPipeline, app.Type())
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
