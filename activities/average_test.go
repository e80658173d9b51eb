package activities

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training"
	"tempera/workflows/stage"
)

// team is a training by replicas.
type team struct {
	*workshop
	start                  artifact.Artifact
	data                   []artifact.Artifact
	held                   artifact.Artifact
	objective, params      string // of the trainings
	outer                  string
	replicas, local, steps int
	disturb                func(e *execution) // before a replica's round runs; nil: nothing
	backward               bool               // the last replica runs first
}

// train runs all rounds and returns the averages, and the replicas of the last round.
func (m team) train() (averages, last []*stage.Result) {
	m.t.Helper()
	last = make([]*stage.Result, m.replicas)
	from := m.start
	for round := range m.steps / m.local {
		order := make([]int, m.replicas)
		for i := range order {
			order[i] = i
		}
		if m.backward {
			slices.Reverse(order)
		}
		for _, i := range order {
			e := execution{kind: trainReplica(), threads: 1, inputs: ports{"model": {from}, "data": m.data}, params: fmt.Sprintf(
				`{"objective": %q, "steps": %d, "local_steps": %d, "replicas": %d, "replica": %d, "round": %d, "checkpoint_seconds": 0.001, %s}`,
				m.objective, m.steps, m.local, m.replicas, i, round, m.params)}
			if round > 0 {
				e.inputs["state"] = ports{"s": {last[i].Outputs["state"]}}["s"]
			}
			if m.disturb != nil {
				m.disturb(&e)
			}
			res, err := m.run(e)
			require.NoError(m.t, err)
			last[i] = res
		}
		res, err := m.run(m.average(from, last, averages))
		require.NoError(m.t, err)
		averages = append(averages, res)
		from = res.Outputs["model"]
	}
	return averages, last
}

// average is the average of a round.
func (m team) average(from artifact.Artifact, replicas, before []*stage.Result) execution {
	in := ports{"model": {from}}
	if m.held.Digest != "" {
		in["held_out"] = []artifact.Artifact{m.held}
	}
	for _, r := range replicas {
		in["replicas"], in["states"] = append(in["replicas"], r.Outputs["model"]), append(in["states"], r.Outputs["state"])
	}
	if n := len(before); n > 0 {
		in["state"] = []artifact.Artifact{before[n-1].Outputs["state"]}
	}
	return execution{kind: average(), inputs: in, threads: 1, params: fmt.Sprintf(`{"objective": %q, "batch": 4 %s}`, m.objective, m.outer)}
}

// weights is the digest of a result's weights: its card names the stage.
func (l *workshop) weights(r *stage.Result) artifact.Digest {
	l.t.Helper()
	m, err := artifact.LoadManifest(l.t.Context(), l.store, r.Outputs["model"])
	require.NoError(l.t, err)
	f, err := m.Find(weightsFile)
	require.NoError(l.t, err)
	return f.Digest
}

const (
	smallText = `"model": {"width": 16, "text_layers": 1, "heads": 2, "context": 32, "config": {"text": {"form": "llama", "kv_heads": 1}}}`
	textSteps = `"batch": 4, "learning_rate": 0.003, "warm_up": 2, "floor": 0.1, "weights": [3, 1]`
	plain     = `, "outer_lr": 1, "outer_momentum": 0`
)

// textTeam is two replicas of a language model, in three rounds.
func textTeam(t *testing.T) (team, trainingText) {
	l := &workshop{t, mem.New()}
	c := l.corpus()
	return team{
		workshop: l, data: []artifact.Artifact{c.a, c.b}, held: c.held, objective: "lm", params: textSteps, replicas: 2, local: 8, steps: 24,
		start: l.output(execution{kind: initModel(), params: `{"kind": "lm", ` + smallText + `}`, inputs: ports{"tokenizer": {c.tokenizer}}}, "model"),
	}, c
}

// TestOneReplicaIsTheSingleTraining: with rate 1 and no momentum, the average of
// one replica is that replica, and its rounds are the steps of the kind pretrain,
// moments, schedule and scores included, to the bit.
func TestOneReplicaIsTheSingleTraining(t *testing.T) {
	t.Run("lm", func(t *testing.T) {
		m, c := textTeam(t)
		m.replicas, m.outer = 1, plain
		averages, _ := m.train()
		single, err := m.run(execution{kind: pretrain(), threads: 1, inputs: ports{"data": m.data, "tokenizer": {c.tokenizer}, "held_out": {c.held}}, params: fmt.Sprintf(
			`{"objective": "lm", "steps": 24, "evaluate_every": 8, %s, %s}`, textSteps, smallText)})
		require.NoError(t, err)
		require.Equal(t, m.weights(single), m.weights(averages[2]))
		require.Equal(t, single.Metrics["bits_per_byte"], averages[2].Metrics["bits_per_byte"])
		require.Equal(t, 1.0, averages[2].Metrics["agreement"])
	})
	l := &workshop{t, mem.New()}
	pairs := l.output(execution{kind: ingest(), params: `{"count": 60, "seed": 1}`}, "dataset")
	held := l.output(execution{kind: ingest(), params: `{"count": 20, "seed": 3}`}, "dataset")
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {pairs}}}, "tokenizer")
	for _, objective := range []string{"clip", "siglip", "blip", "captioning", "vlm"} {
		t.Run(objective, func(t *testing.T) {
			const size = `"model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 16, "context": 0, "config": {"text": {}}}`
			m := team{workshop: &workshop{t, l.store}, data: []artifact.Artifact{pairs}, held: held, objective: objective, outer: plain, replicas: 1, local: 2, steps: 6}
			m.params = `"batch": 4, "queue": 1`
			m.start = m.output(execution{kind: initModel(), params: fmt.Sprintf(`{"kind": %q, "batch": 4, %s}`, objective, size), inputs: ports{"tokenizer": {tokenizer}}}, "model")
			averages, _ := m.train()
			single, err := m.run(execution{kind: pretrain(), threads: 1, inputs: ports{"data": {pairs}, "tokenizer": {tokenizer}, "held_out": {held}}, params: fmt.Sprintf(
				`{"objective": %q, "steps": 6, %s, %s}`, objective, m.params, size)})
			require.NoError(t, err)
			require.Equal(t, m.weights(single), m.weights(averages[2]))
		})
	}
}

// TestReplicasEndWithTheSameBits: stopped or killed at random steps of any round,
// on more threads, and finished in another order.
func TestReplicasEndWithTheSameBits(t *testing.T) {
	m, _ := textTeam(t)
	want, _ := m.train()
	r := rand.New(rand.NewPCG(1, 2))
	m.backward = true
	m.disturb = func(e *execution) {
		e.points, e.threads = &points{}, 2
		for range 2 {
			e.stopAt = 1 + r.Int64N(23)
			if _, err := m.run(*e); err != nil {
				require.ErrorIs(t, err, ErrStopped)
			}
			e.points.lose(r)
		}
		e.stopAt = -1
	}
	got, _ := m.train()
	require.Equal(t, want, got)
	require.Less(t, want[2].Metrics["bits_per_byte"], want[0].Metrics["bits_per_byte"])
	require.Less(t, want[2].Metrics["agreement"], 1.0, "the replicas saw other batches")
	require.Greater(t, want[2].Metrics["agreement"], 0.5)
}

func TestReplicasShareTheBatchesOfOneTraining(t *testing.T) {
	var seen []int64
	for replica := range int64(3) {
		l := &lesson{
			batches: func(step int64, _ *training.Batch) error { seen = append(seen, step); return nil },
			epochs:  func(steps int64) []float64 { return []float64{float64(steps)} },
		}
		replicaParams{Replicas: 3, Replica: replica}.share(l)
		for step := range int64(4) {
			require.NoError(t, l.batches(step, nil))
		}
		require.Equal(t, []float64{12}, l.epochs(4))
	}
	slices.Sort(seen)
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, seen)
}

// TestTokensAddUp: all replicas together see those of a single training of as
// many batches.
func TestTokensAddUp(t *testing.T) {
	m, c := textTeam(t)
	averages, _ := m.train()
	alone := m
	alone.replicas, alone.local, alone.steps, alone.held = 1, 48, 48, artifact.Artifact{}
	single, _ := alone.train()
	require.Positive(t, averages[2].Metrics["tokens"])
	require.Equal(t, single[0].Metrics["tokens"], averages[2].Metrics["tokens"])
	require.NotContains(t, single[0].Metrics, "bits_per_byte", "there is nothing to measure on")

	var rounds []measuredRound
	require.NoError(t, readJSONFile(t.Context(), m.store, averages[2].Outputs["state"], jsonFile{roundsFile, &rounds}))
	require.Len(t, rounds, 3)
	require.Equal(t, []int64{8, 16, 24}, []int64{rounds[0].Steps, rounds[1].Steps, rounds[2].Steps})
	require.Equal(t, averages[0].Metrics["bits_per_byte"], rounds[0].Values["bits_per_byte"])
	require.NotEmpty(t, c.tokenizer)
}

func TestWrongRounds(t *testing.T) {
	m, c := textTeam(t)
	averages, last := m.train()
	other := m
	other.start = m.output(execution{kind: initModel(), params: `{"model": {"width": 32, "text_layers": 1, "heads": 2, "context": 32}}`, inputs: ports{"tokenizer": {c.tokenizer}}}, "model")
	other.steps = 8
	_, wide := other.train()
	first, second := averages[0].Outputs["model"], averages[1].Outputs["model"]
	replica := func(params string, state ...artifact.Artifact) execution {
		in := ports{"model": {second}, "data": m.data}
		if len(state) > 0 {
			in["state"] = state
		}
		return execution{kind: trainReplica(), threads: 1, inputs: in, params: `{"objective": "lm", "steps": 24, "local_steps": 8, "replicas": 2, ` + textSteps + params + `}`}
	}
	for name, c := range map[string]struct {
		e    execution
		want string
	}{
		"a round without its state":    {replica(`, "round": 2`), "round is 2 and there is no state: give that of round 1"},
		"the state of another replica": {replica(`, "round": 2`, last[1].Outputs["state"]), "the state is that of replica 1 of 2 after round 2"},
		"the state of an average":      {replica(`, "round": 1`, averages[0].Outputs["state"]), "is not that of a replica"},
		"replicas in another order":    {m.average(second, []*stage.Result{last[1], last[0]}, averages[:2]), "give all 2 replicas of one round in their order"},
		"a replica that is missing":    {m.average(second, last[:1], averages[:2]), "input 0 is replica 0 of 2"},
		"another start":                {m.average(first, last, averages[:2]), "give the model that the round began with"},
		"an average without its state": {m.average(second, last, nil), "there is no state: give that of the average of round 1"},
		"the state of a round before":  {m.average(second, last, averages[:1]), "give model and state of one average"},
		"replicas of another training": {m.average(second, wide, averages[:2]), "replica 0 started from model"},
		"a model of another's state":   {m.average(second, []*stage.Result{{Outputs: map[string]artifact.Artifact{"model": first, "state": last[0].Outputs["state"]}}, last[1]}, averages[:2]), "give both of one stage"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &workshop{t, m.store}
			_, err := l.run(c.e)
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.True(t, errors.As(err, &final), "it is not tried again: %v", err)
		})
	}
	t.Run("replicas of another shape", func(t *testing.T) {
		l := &workshop{t, m.store}
		model := wide[0].Outputs["model"]
		state, err := putState(t.Context(), m.store, replicaMeta{Replicas: 1, Start: m.start.Digest, Model: model.Digest, Steps: 8})
		require.NoError(t, err)
		_, err = l.run(execution{kind: average(), inputs: ports{"model": {m.start}, "replicas": {model}, "states": {state}}, params: `{}`})
		require.ErrorContains(t, err, "replica 0 is another model than its start: their configurations differ")
	})
}

func TestWrongParametersOfReplicas(t *testing.T) {
	catalog := NewCatalog(All()...)
	for name, c := range map[string]struct{ kind, params, want string }{
		"no replica":             {"train_replica", `{"replicas": 0}`, "replicas is 0: use at least 1"},
		"a replica too many":     {"train_replica", `{"replicas": 2, "replica": 2}`, "replica is 2 of 2"},
		"no local step":          {"train_replica", `{"local_steps": 0}`, "local_steps is 0: use at least 1"},
		"rounds that are broken": {"train_replica", `{"steps": 100, "local_steps": 30}`, "steps is 100, no multiple of local_steps (30)"},
		"a round too many":       {"train_replica", `{"steps": 100, "local_steps": 50, "round": 2}`, "round is 2, and 100 steps have 2 rounds of 50"},
		"minutes":                {"train_replica", `{"minutes": 3}`, "minutes: the replicas of a round take equal steps"},
		"a curriculum":           {"train_replica", `{"stages": [{"steps": 500}]}`, "a replica has no curriculum"},
		"spikes":                 {"train_replica", `{"spike": {}}`, "spike: "},
		"the best parameters":    {"train_replica", `{"keep": "best"}`, "patience and keep"},
		"no outer rate":          {"average", `{"outer_lr": 0}`, "outer_lr is 0: use more than 0"},
		"a momentum of one":      {"average", `{"outer_momentum": 1}`, "outer_momentum is 1: use less than 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Resolve(c.kind, []byte(c.params))
			require.ErrorContains(t, err, c.want)
		})
	}
}
