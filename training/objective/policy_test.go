package objective_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
)

func TestPolicyRunsEndWithTheSameBits(t *testing.T) {
	for name, c := range policyCases() {
		t.Run(name, func(t *testing.T) {
			whole := newPolicyRun(t, c, 1)
			before := whole.digest(t)
			_, err := whole.loop.Run(context.Background())
			require.NoError(t, err)
			want := whole.digest(t)
			require.NotEqual(t, before, want)
			last := whole.metrics.all[len(whole.metrics.all)-1]
			for _, name := range []string{"reward", "reward_liked", "pass_rate", "equal_groups", "entropy", "clip_fraction", "length", "truncated", "drift_mean", "moved", "seconds_rollout", "seconds_training", "samples_per_second"} {
				require.Contains(t, last, name)
			}

			two := newPolicyRun(t, c, 2)
			_, err = two.loop.Run(context.Background())
			require.NoError(t, err)
			require.Equal(t, want, two.digest(t), "two threads")

			for at := range whole.loop.Config.Steps {
				s := &kept{}
				first := newPolicyRun(t, c, 1)
				first.loop.Checkpoints = s
				stop := make(chan struct{})
				first.loop.Stopping = stop
				if at == 0 {
					close(stop)
				}
				first.loop.Progress = func(done, _ int64, _ string) {
					if done == at {
						close(stop)
					}
				}
				_, err := first.loop.Run(context.Background())
				require.ErrorIs(t, err, training.ErrStopped)

				second := newPolicyRun(t, c, 1)
				second.loop.Checkpoints = s
				_, err = second.loop.Run(context.Background())
				require.NoError(t, err)
				require.Equal(t, want, second.digest(t), "stopped after step %d", at)
			}
		})
	}
}

func TestAPolicyLearnsWhatIsRewarded(t *testing.T) {
	for name, c := range policyCases() {
		t.Run(name, func(t *testing.T) {
			r := newPolicyRun(t, c, 1)
			r.loop.Config.Steps, r.loop.Config.Schedule.Peak = 25*r.options.Steps(), 1e-2
			_, err := r.loop.Run(context.Background())
			require.NoError(t, err)
			mean := func(rows []map[string]float64) (sum float64) {
				for _, row := range rows {
					sum += row["reward"] / float64(len(rows))
				}
				return sum
			}
			n := len(r.metrics.all)
			require.Greater(t, mean(r.metrics.all[n-5:]), mean(r.metrics.all[:5])+0.1)
			for _, row := range r.metrics.all {
				require.Less(t, row["drift_max"], 1e-3)
			}
		})
	}
}

// TestAMinibatchInPartsHasTheGradientOfTheWhole compares graphs of few tokens with one of all.
func TestAMinibatchInPartsHasTheGradientOfTheWhole(t *testing.T) {
	for _, name := range []string{"grpo", "dapo", "ppo"} {
		t.Run(name, func(t *testing.T) {
			gradients := func(tokens int) (training.Metrics, map[string][]float32) {
				c := policyCases()[name]
				change := c.change
				c.change = func(o *objective.PolicyOptions) {
					if change != nil {
						change(o)
					}
					o.GraphTokens = tokens
				}
				r := newPolicyRun(t, c, 1)
				for _, p := range r.Params() {
					if p.Trained() && p.Grad == nil {
						var err error
						p.Grad, err = device.New(r.model.Backend(), p.Value.Desc())
						require.NoError(t, err)
					}
				}
				m, err := r.Step(0, nil)
				require.NoError(t, err)
				out := map[string][]float32{}
				for _, p := range r.Params() {
					if p.Trained() {
						out[p.Name] = gradient(t, r.model.Backend(), p)
					}
				}
				return m, out
			}
			wantMetrics, want := gradients(4096)
			gotMetrics, got := gradients(16)
			require.InDelta(t, wantMetrics[training.LossKey], gotMetrics[training.LossKey], 1e-6)
			for p, g := range want {
				require.InDeltaSlice(t, g, got[p], 1e-5, p)
			}
		})
	}
}

func TestWhatTheEnvironmentPutInIsNotLearned(t *testing.T) {
	r := newPolicyRun(t, policyCase{}, 1)
	r.sampler.given = 7 // the liked token, which counts only where the policy writes it
	m, err := r.Step(0, nil)
	require.NoError(t, err)
	require.Less(t, m["drift_max"], 1e-3, "its log-probability, reported as 0, is not compared")
}

func TestASamplerThatComputesAnotherModelIsFound(t *testing.T) {
	r := newPolicyRun(t, policyCase{}, 1)
	r.sampler.off = 0.02
	_, err := r.loop.Run(context.Background())
	require.ErrorContains(t, err, "iteration 0")
	require.ErrorContains(t, err, "differ from those of sampling by 0.02 on average and 0.02 at most, and may by 0.001")
}

// TestWhatAPolicyCannotSee: pictures and the tokens that stand for them must be of one number, and models must see alike.
func TestWhatAPolicyCannotSee(t *testing.T) {
	r := newPolicyRun(t, policyCase{sees: true}, 1)
	config := r.model.Config
	step := func(m *model.Model, change func(p *objective.Prompt)) error {
		parts := objective.PolicyParts{Model: m, Prompts: changed{shown{config}, change}, Sampler: broken{objective.Sample{Tokens: []int32{3}, LogProbs: []float32{0}}}, Judge: indifferent{}}
		p, err := objective.NewPolicy(parts, grpo())
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		_, err = p.Step(0, nil)
		return err
	}
	require.ErrorIs(t, step(r.model, func(*objective.Prompt) {}), training.ErrIdle)
	require.ErrorContains(t, step(r.model, func(p *objective.Prompt) { p.Pictures = nil }), "a text has 4 tokens that stand for pictures, and its 0 pictures are 0 tokens")
	require.ErrorContains(t, step(r.model, func(p *objective.Prompt) { p.Pictures[0] = p.Pictures[0][1:] }), "picture 0 of a text has 191 values, want 192")
	blind := newPolicyRun(t, policyCase{}, 1)
	require.ErrorContains(t, step(blind.model, func(p *objective.Prompt) { p.Tokens = p.Tokens[:1] }), "a model of kind lm sees none")
	o := grpo()
	o.Beta = 0.1
	_, err := objective.NewPolicy(objective.PolicyParts{Model: r.model, Reference: blind.model}, o)
	require.ErrorContains(t, err, "one model is of kind lm, the other of kind vlm")
}

// changed are prompts that are no longer what they were.
type changed struct {
	objective.Prompts
	change func(p *objective.Prompt)
}

func (c changed) Draw(iteration int64, round, n int) ([]objective.Prompt, error) {
	out, err := c.Prompts.Draw(iteration, round, n)
	for i := range out {
		c.change(&out[i])
	}
	return out, err
}

func TestEqualRewardsWarnAndThenEndTheRun(t *testing.T) {
	b := newCPU(t, 1)
	config := tiny(model.LM)
	config.Text.Context = 10
	m := newModel(t, b, config)
	var warnings []string
	p, err := objective.NewPolicy(objective.PolicyParts{
		Model: m, Prompts: few{}, Sampler: &writer{t: t, model: m, temperature: 1, length: 4}, Judge: indifferent{}, Warn: func(s string) { warnings = append(warnings, s) },
	}, grpo())
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for step := range int64(4) {
		_, err := p.Step(step, nil)
		require.ErrorIs(t, err, training.ErrIdle)
	}
	_, err = p.Step(4, nil)
	require.ErrorContains(t, err, "iteration 2: all 4 groups of samples have equal rewards (0 on average, 0 right), for 3 iterations in a row")
	require.Len(t, warnings, 2)
}

func TestAnExplosionBeginsTheIterationAgain(t *testing.T) {
	r := newPolicyRun(t, policyCase{change: func(o *objective.PolicyOptions) { o.MaxMoved = 1e-7 }}, 1)
	_, err := r.loop.Run(context.Background())
	var exploded *training.ExplodedError
	require.ErrorAs(t, err, &exploded)
	require.ErrorContains(t, err, "with half the learning rate")
	require.Equal(t, 2, r.sampler.calls, "the iteration was sampled twice")
}

func TestADivergenceLeadsBackToTheIterationThatMadeIt(t *testing.T) {
	kl := func(most float64) (*policyRun, training.Result, error) {
		r := newPolicyRun(t, policyCase{change: func(o *objective.PolicyOptions) {
			o.Beta, o.KLInReward, o.SkipEqual, o.MaxKL, o.Prompts, o.Group = 1e-9, true, false, most, 16, 16
		}}, 1)
		r.loop.Config.Steps, r.loop.Config.Schedule.Peak = 4*r.options.Steps(), 0.02
		res, err := r.loop.Run(context.Background())
		return r, res, err
	}
	free, res, err := kl(1e9)
	require.NoError(t, err)
	require.Nil(t, res.Retreat)
	var seen []float64
	for _, row := range free.metrics.all {
		seen = append(seen, row["kl"])
	}
	last := len(seen) - 1
	require.Greater(t, seen[last], slices.Max(seen[:last]))

	r, res, err := kl(0.9*seen[last] + 0.1*slices.Max(seen[:last]))
	require.NoError(t, err)
	require.Equal(t, 3*r.options.Steps(), res.Retreat.Step)
	require.Equal(t, 2*r.options.Steps(), res.Retreat.To)
	require.Equal(t, free.sampler.calls+2, r.sampler.calls, "the last two iterations were sampled twice")
	_, _, err = kl(seen[last] / 100)
	require.ErrorContains(t, err, "the divergence from the reference, in nats of a sample,")
	require.ErrorContains(t, err, "with half the learning rate: lower learning_rate")
}

func TestFaultsOfAPolicyAreReportedAtOnce(t *testing.T) {
	m := newModel(t, newCPU(t, 1), tiny(model.LM))
	o := grpo()
	o.Group, o.Temperature, o.Beta, o.Rounds = 1, 0, 0.1, 0
	_, err := objective.NewPolicy(objective.PolicyParts{Model: m, Prompts: few{}}, o)
	for _, want := range []string{"rounds 0", "group is 1", "temperature is 0", "there is no reference"} {
		require.ErrorContains(t, err, want)
	}
}

// broken returns samples that a policy cannot learn from.
type broken struct{ sample objective.Sample }

func (s broken) Sample(prompts []objective.Prompt, samples int) ([]objective.Group, error) {
	var groups []objective.Group
	for _, p := range prompts {
		g := objective.Group{Prompt: p}
		for range samples {
			g.Samples = append(g.Samples, s.sample)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func TestSamplesThatMakeNoSenseAreRefused(t *testing.T) {
	m := newModel(t, newCPU(t, 1), tiny(model.LM))
	for name, c := range map[string]struct {
		sample objective.Sample
		want   string
	}{
		"empty":                 {objective.Sample{}, "has 0 tokens"},
		"without numbers":       {objective.Sample{Tokens: []int32{3}}, "0 log-probabilities"},
		"all given":             {objective.Sample{Tokens: []int32{3}, LogProbs: []float32{0}, Given: []bool{true}}, "0 of them the policy's"},
		"outside the context":   {objective.Sample{Tokens: make([]int32, 9), LogProbs: make([]float32, 9)}, "the context is 7"},
		"not in the vocabulary": {objective.Sample{Tokens: []int32{99}, LogProbs: []float32{0}}, "outside the vocabulary"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := objective.NewPolicy(objective.PolicyParts{Model: m, Prompts: few{}, Sampler: broken{c.sample}, Judge: indifferent{}}, grpo())
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			_, err = p.Step(0, nil)
			require.ErrorContains(t, err, c.want)
			require.False(t, errors.Is(err, training.ErrIdle))
		})
	}
}

// sized is a writer that says what it takes.
type sized struct{ *writer }

func (sized) Memory() int64 { return 12345 }
func (sized) Held() int64   { return 2345 }

func TestWhatTheSamplerTakesIsPartOfAPolicysNeeds(t *testing.T) {
	b := newCPU(t, 1)
	config := tiny(model.LM)
	config.Text.Form, config.Text.Vocab, config.Text.Context = model.Llama, 12, 10
	m := newModel(t, b, config)
	w := &writer{t: t, model: m, temperature: 1, length: 4}
	for _, c := range []struct {
		sampler    objective.Sampler
		want, held int64
	}{{w, 0, 0}, {sized{w}, 12345, 2345}} {
		p, err := objective.NewPolicy(objective.PolicyParts{Model: m, Prompts: few{}, Sampler: c.sampler, Judge: likes{7}}, grpo())
		require.NoError(t, err)
		needs, err := p.Needs(4)
		require.NoError(t, err)
		require.Equal(t, c.want, needs.Sampling)
		require.Equal(t, c.held, needs.Sampler)
		require.NoError(t, p.Close())
	}
}
