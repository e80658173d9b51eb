package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

// chain is reinforcement whose samples other stages draw: iterations that hand their model and state on.
type chain struct {
	*workshop
	problems [2]artifact.Artifact // two parts, each sampled by a stage of its own
	params   string
}

// drawn samples both parts of the problems.
func (c chain) drawn(model artifact.Artifact, seed int) []artifact.Artifact {
	c.t.Helper()
	var out []artifact.Artifact
	for _, p := range c.problems {
		out = append(out, c.output(execution{kind: rollout(), inputs: ports{"model": {model}, "data": {p}}, params: fmt.Sprintf(
			`{"samples": 4, "max_tokens": 8, "record": true, "seed": %d, "rewards": [{"reward": "repetition", "weight": 1}, {"reward": "length", "weight": 1}]}`, seed)}, "examples"))
	}
	return out
}

// step is one iteration.
func (c chain) step(iteration int, model artifact.Artifact, from []artifact.Artifact, state ...artifact.Artifact) execution {
	in := ports{"model": {model}, "from": from}
	if len(state) > 0 {
		in["state"] = state
	}
	return execution{kind: rl(), inputs: in, threads: 1, params: fmt.Sprintf(`{"iterations": 3, "iteration": %d, "group": 4, "checkpoint_seconds": 0.001, "graph_tokens": 128 %s}`, iteration, c.params)}
}

func TestSamplesOfOtherStagesAreLearnedFrom(t *testing.T) {
	for name, params := range map[string]string{"grpo": `, "loss": {"epochs": 2}`, "lora": `, "lora": {"rank": 2}`} {
		t.Run(name, func(t *testing.T) {
			l := &workshop{t, mem.New()}
			c := chain{l, [2]artifact.Artifact{l.examples(questions(1, 6)...), l.examples(renamed(questions(2, 6))...)}, params}
			m := l.beginner(small)
			first := c.drawn(m, 1)
			zero, err := l.run(c.step(0, m, first))
			require.NoError(t, err)
			require.Less(t, zero.Metrics["drift_max"], 1e-3, "the samples are the policy's own")
			require.NotContains(t, zero.Outputs, "samples")
			next, state := zero.Outputs["model"], zero.Outputs["state"]

			one := c.step(1, next, c.drawn(next, 2), state)
			whole, err := l.run(one)
			require.NoError(t, err)
			require.NotEqual(t, weightsOf(l, next), weightsOf(l, whole.Outputs["model"]))
			kept := &points{}
			one.points, one.threads, one.stopAt = kept, 2, 3
			if _, err := l.run(one); err != nil {
				require.ErrorIs(t, err, ErrStopped)
			}
			one.stopAt = -1
			again, err := l.run(one)
			require.NoError(t, err)
			require.Equal(t, whole, again)

			late := c.step(1, next, first, state) // a step behind
			res, err := l.run(late)
			require.NoError(t, err)
			require.Greater(t, res.Metrics["drift_max"], 1e-3)

			_, err = l.run(c.step(1, m, first, state))
			require.ErrorContains(t, err, "give the model and the state of one stage")
			_, err = l.run(c.step(1, next, first))
			require.ErrorContains(t, err, "give that of iteration 0")
		})
	}
}

// renamed gives rows names of their own.
func renamed(rows []*example.Example) []*example.Example {
	for i, x := range rows {
		x.ID = fmt.Sprintf("other-%d", i)
	}
	return rows
}

func TestSamplesWithoutWhatWasDrawnAreRefused(t *testing.T) {
	l := &workshop{t, mem.New()}
	m := l.beginner(small)
	c := chain{l, [2]artifact.Artifact{l.examples(questions(1, 2)...), l.examples(renamed(questions(2, 2))...)}, ""}
	_, err := l.run(c.step(0, m, []artifact.Artifact{l.examples(completions(1, 3)...)}))
	require.ErrorContains(t, err, "record: true")
	a := c.step(0, m, c.drawn(m, 1))
	a.params = `{"group": 3}`
	_, err = l.run(a)
	require.ErrorContains(t, err, "no group of 3 samples")
	a.inputs["problems"] = []artifact.Artifact{c.problems[0]}
	_, err = l.run(a)
	require.ErrorContains(t, err, "give one of them")
	_, err = rollout().Check([]byte(`{"record": true, "keep": "best"}`))
	require.ErrorContains(t, err, "record is set with keep best")
}
