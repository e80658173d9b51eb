package objective

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/optim"
)

func TestBalanceMovesAgainstTheLoad(t *testing.T) {
	c := tinyOf(model.LM)
	c.Text.Form, c.Text.Experts = model.Llama, &model.Experts{Count: 4, Hidden: 4, BalanceRate: 0.01}
	m := onCPU(t, c)
	b := newBalancer(m)
	b.layers[0].counts = []int64{10, 2, 4, 4} // an even share is 5
	metrics := training.Metrics{}
	b.measure(metrics)
	require.InDelta(t, 2, metrics["expert_load"], 1e-9)
	require.NoError(t, b.update())
	got, err := device.ReadFloats(m.Backend(), b.layers[0].balance.Value)
	require.NoError(t, err)
	for i, sign := range []float64{-1, 1, 1, 1} {
		require.InDelta(t, 0.01*(sign-0.5), got[i], 1e-7)
	}
	require.Equal(t, make([]int64, 4), b.layers[0].counts)
}

// TestBalancingEvensOutTheLoadOfExperts trains the same model with and without a
// moving balance. What all tokens have in common makes the router prefer some experts.
func TestBalancingEvensOutTheLoadOfExperts(t *testing.T) {
	load := func(fixed bool) float64 {
		c := tinyOf(model.LM)
		c.Width, c.Text.Context, c.Text.Vocab, c.Text.Heads = 16, 16, 40, 2
		c.Text.Form, c.Text.TokenStd = model.Llama, 1
		c.Text.Experts = &model.Experts{Count: 8, Active: 2, Hidden: 8, BalanceRate: 0.01, FixedBalance: fixed}
		m := onCPU(t, c)
		table := m.Param("text.token").Value
		v, err := device.ReadFloats(m.Backend(), table)
		require.NoError(t, err)
		for i := range v {
			v[i]++
		}
		require.NoError(t, m.Backend().UploadFloats(table, v))
		l, err := NewLM(m, Plan{Batch: 16})
		require.NoError(t, err)
		adam, err := optim.NewAdamW(m.Backend(), l.Params(), optim.DefaultOptions())
		require.NoError(t, err)
		var sum float64
		r := rand.New(rand.NewPCG(1, 2))
		const steps, counted = 120, 20
		for step := range int64(steps) {
			b := &training.Batch{}
			n := 16 * m.Config.Text.Context
			tokens, targets := b.Int32s(Tokens, n), b.Int32s(Targets, n)
			for i := range tokens {
				tokens[i] = r.Int32N(40)
				targets[i] = (tokens[i] + 1) % 40
			}
			adam.ZeroGrad()
			metrics, err := l.Step(step, b)
			require.NoError(t, err)
			_, err = adam.Step(step, 3e-3)
			require.NoError(t, err)
			require.NoError(t, l.Updated(step))
			if step >= steps-counted {
				sum += metrics["expert_load"] / counted
			}
		}
		require.NoError(t, l.Close())
		return sum
	}
	with, without := load(false), load(true)
	t.Logf("the busiest expert has %.2f even shares with balancing, %.2f without", with, without)
	require.Less(t, with, 1.4)
	require.Greater(t, without, 1.7)
}
