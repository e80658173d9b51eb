package network

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/serving/page"
	"tempera/training/kernel"
	"tempera/training/model"
)

func newCache(t *testing.T, c model.Config) *Cache {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	values := map[string][]float32{}
	for _, s := range c.Params() {
		values[s.Name] = s.Values(3)
	}
	n, err := New(e, c, func(name string) ([]float32, error) { return values[name], nil })
	require.NoError(t, err)
	cache, err := n.NewCache(CacheOptions{Bytes: 1 << 20, Page: 32})
	require.NoError(t, err)
	return cache
}

func configs() map[string]model.Config {
	text := model.Text{Vocab: 30, Context: 100, Heads: 4, KVHeads: 2}
	gpt2, llama, experts := text, text, text
	gpt2.KVHeads = 0
	llama.Form, experts.Form = model.Llama, model.Llama
	experts.Experts = &model.Experts{Count: 6, Active: 3, Hidden: 16}
	out := map[string]model.Config{}
	for name, x := range map[string]model.Text{"gpt2": gpt2, "llama": llama, "experts": experts} {
		out[name] = model.Config{Kind: model.LM, Width: 48, Text: x}.Resolve()
	}
	return out
}

func TestATokensStateDoesNotDependOnTheRuns(t *testing.T) {
	for name, config := range configs() {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, config)
			r := rand.New(rand.NewPCG(1, 2))
			tokens := make([]int32, 90)
			for i := range tokens {
				tokens[i] = r.Int32N(30)
			}
			w := config.Text.Width
			var whole page.Table
			require.True(t, c.Reserve(&whole, len(tokens)))
			want := append([]float32(nil), c.Forward([]Run{{Tokens: tokens, Table: &whole, States: len(tokens)}})...)
			require.Equal(t, len(tokens), whole.Tokens)

			// Two sequences of the same tokens, cut differently and run together.
			var tables [2]page.Table
			for done := 0; done < 2; {
				done = 0
				var runs []Run
				var at []int
				for i := range tables {
					from := tables[i].Tokens
					n := min(len(tokens)-from, 1+r.IntN(1+30*i))
					if n == 0 {
						done++
						continue
					}
					require.True(t, c.Reserve(&tables[i], n))
					runs = append(runs, Run{Tokens: tokens[from : from+n], Table: &tables[i], States: n})
					at = append(at, from)
				}
				if len(runs) == 0 {
					break
				}
				states := c.Forward(runs)
				for i, run := range runs {
					n := len(run.Tokens)
					require.Equal(t, want[at[i]*w:(at[i]+n)*w], states[:n*w])
					states = states[n*w:]
				}
			}
		})
	}
}

func TestAForkGoesOnWithoutTheOther(t *testing.T) {
	c := newCache(t, configs()["llama"])
	forward := func(table *page.Table, tokens ...int32) []float32 {
		require.True(t, c.Reserve(table, len(tokens)))
		return append([]float32(nil), c.Forward([]Run{{Tokens: tokens, Table: table, States: 1}})...)
	}
	var a page.Table
	forward(&a, 1, 2, 3, 4, 5)
	b := c.Pool.Fork(&a)
	inA, inB := forward(&a, 6), forward(&b, 7)
	require.NotEqual(t, inA, inB)
	nextA, nextB := forward(&a, 8), forward(&b, 8)

	var x, y page.Table
	require.Equal(t, inA, forward(&x, 1, 2, 3, 4, 5, 6))
	require.Equal(t, nextA, forward(&x, 8))
	require.Equal(t, inB, forward(&y, 1, 2, 3, 4, 5, 7))
	require.Equal(t, nextB, forward(&y, 8))
}
