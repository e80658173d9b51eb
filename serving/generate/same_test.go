package generate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARequestGivesTheSameBitsAloneAndInABatch(t *testing.T) {
	for _, form := range []string{"blip tied", "llama", "experts", "vlm"} {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{Rows: 7})
			requests := f.requests(23)
			together := write(t, f.Generator, requests...)
			for i, r := range requests {
				require.Equal(t, write(t, f.Generator, r)[0], together[i], "request %d", i)
			}
			slices.Reverse(requests)
			again := write(t, f.Generator, requests...)
			slices.Reverse(again)
			require.Equal(t, together, again)
			ends := map[End]int{}
			for _, r := range together {
				for _, x := range r.Texts {
					ends[x.End]++
					require.NotContains(t, x.Tokens, int32(3))
				}
			}
			require.Len(t, ends, 2, "some texts end by EOS, others by their length: %v", ends)
		})
	}
}

// Threads, pages, the pieces that prompts are cut into, the rows and the memory change the speed only.
func TestOptionsDoNotChangeABit(t *testing.T) {
	for _, form := range []string{"blip", "qwen2", "vlm"} {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{})
			requests := f.requests(12)
			want := write(t, f.Generator, requests...)
			for _, o := range []struct {
				threads int
				Options
			}{
				{1, Options{}},
				{3, Options{Rows: 3}},
				{2, Options{Page: 96}},
				{2, Options{Prefill: 1}},
				{2, Options{Prefill: 7, Rows: 5, Page: 64}},
			} {
				require.Equal(t, want, write(t, f.with(t, newEngine(t, o.threads), o.Options), requests...), "%+v", o)
			}
		})
	}
}

func TestPreemptionChangesNothing(t *testing.T) {
	for _, form := range []string{"blip", "llama"} {
		t.Run(form, func(t *testing.T) {
			f := newFixture(t, form, Options{})
			requests := f.requests(14)
			want := write(t, f.Generator, requests...)
			g := f.with(t, f.engine, Options{Memory: 12 * f.pageBytes()})
			require.Equal(t, 12, g.pool.Total())
			require.Equal(t, want, write(t, g, requests...))
			require.Positive(t, g.preempted, "twelve pages are too few for all")
		})
	}
}

func TestSamplesOfOnePromptAreThoseOfSeparateRequests(t *testing.T) {
	f := newFixture(t, "llama", Options{Rows: 6})
	r := Request{Prompt: Tokens(f.requests(40)[33].Prompt[0].Tokens...), Seed: 11, Samples: 15, MaxTokens: 30, Search: Search{Temperature: 1}}
	shared := write(t, f.Generator, r)[0].Texts
	require.Len(t, shared, 15)
	distinct := map[string]bool{}
	for i, x := range shared {
		one := r
		one.Samples, one.Seed = 1, sampleSeed(r.Seed, i)
		require.Equal(t, writeOne(t, f.Generator, one), x, "sample %d", i)
		distinct[fmt.Sprint(x.Tokens)] = true
	}
	require.Greater(t, len(distinct), 10)
}

func TestSamplesShareThePagesOfThePrompt(t *testing.T) {
	f := newFixture(t, "llama", Options{})
	prompt := make([]int32, 64) // two pages
	least := 0
	r := Request{Prompt: Tokens(prompt...), Samples: 8, MaxTokens: 10, MinTokens: 10, Search: Search{Temperature: 1}}
	least = f.pool.Total()
	r.OnToken = func(Event) { least = min(least, f.pool.Free()) }
	write(t, f.Generator, r)
	require.Equal(t, 2+8, f.pool.Total()-least)
}

func TestCallsShareTheBatch(t *testing.T) {
	f := newFixture(t, "blip", Options{Rows: 8})
	requests := f.requests(20)
	want := write(t, f.Generator, requests...)
	got := make([][]Result, len(requests))
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%5 == 4 { // gives up while others run
				r.OnToken = nil
				cancel()
			}
			got[i], errs[i] = f.Generate(ctx, []Request{r})
		})
	}
	wg.Wait()
	for i := range requests {
		if i%5 == 4 {
			require.ErrorIs(t, errs[i], context.Canceled)
			continue
		}
		require.NoError(t, errs[i])
		require.Equal(t, want[i], got[i][0], "request %d", i)
	}
	require.Equal(t, f.pool.Total(), f.pool.Free())
}

func TestLoadReplacesTheWeights(t *testing.T) {
	f := newFixture(t, "low-rank changes", Options{})
	r := f.requests(3)[1]
	before := write(t, f.Generator, r)
	w, err := f.weights.Get("text.blocks.0.causal.qkv.lora_b")
	require.NoError(t, err)
	for i := range w {
		w[i] *= -3
	}
	require.NoError(t, f.Load(context.Background(), f.weights.Get))
	after := write(t, f.Generator, r)
	require.NotEqual(t, before, after)
	require.Equal(t, write(t, f.with(t, f.engine, Options{}), r), after)
}
