package accelerator

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoices(t *testing.T) {
	for text, want := range map[string]Choice{"": Auto, "auto": Auto, "cpu": CPU, "cuda": CUDA, "cuda:3": {"cuda", 3}} {
		got, err := ParseChoice(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"} {
		_, err := ParseChoice(text)
		require.ErrorContains(t, err, "use auto, cpu, cuda or cuda:N")
	}
	require.True(t, Choice{"cuda", 3}.GPU())
	require.False(t, Auto.GPU())
	require.ErrorContains(t, CheckPrecision(CPU, BF16), "needs a GPU")
	require.ErrorContains(t, CheckPrecision(CUDA, "fp8"), "use bf16, tf32 or f32")
	require.NoError(t, CheckPrecision(Auto, BF16))
	require.NoError(t, CheckPrecision(CPU, F32))
}

func pool(gpus ...GPU) *Pool {
	return &Pool{gpus: gpus, busy: map[int]bool{}, lost: map[int]error{}, freed: make(chan struct{})}
}

// claims is what a request gets: numbers of GPUs, or nil where it has to wait.
func claims(t *testing.T, p *Pool, r *request) []int {
	t.Helper()
	gpus, wait, err := p.claim(r)
	require.NoError(t, err)
	require.Equal(t, gpus == nil, wait != nil)
	var got []int
	for _, g := range gpus {
		got = append(got, g.Ordinal)
	}
	return got
}

func TestAPoolLendsEachGPUOnce(t *testing.T) {
	p := pool(GPU{Ordinal: 0, Name: "a"}, GPU{Ordinal: 2, Name: "b"})
	require.Equal(t, []int{0}, claims(t, p, &request{CUDA, 1}))
	require.Equal(t, []int{2}, claims(t, p, &request{Auto, 1}))

	third := &request{CUDA, 1}
	_, wait, err := p.claim(third)
	require.NoError(t, err)
	require.NotNil(t, wait, "both are busy")
	p.release(2)
	<-wait
	require.Equal(t, []int{2}, claims(t, p, third))

	_, _, err = p.claim(&request{Choice{"cuda", 1}, 1})
	require.ErrorContains(t, err, "this worker offers cuda:0")
	p.lost[0], p.lost[2] = ErrLost, ErrLost
	_, _, err = p.claim(&request{CUDA, 1})
	require.ErrorIs(t, err, ErrLost)

	var none *Pool
	_, err = none.Take(t.Context(), CUDA, "")
	require.ErrorContains(t, err, "use queue: gpu")
}

func TestSeveralGPUsAreLentAtOnceAndInTurn(t *testing.T) {
	p := pool(GPU{Ordinal: 0}, GPU{Ordinal: 1}, GPU{Ordinal: 2})
	first, two, one, third := &request{CUDA, 2}, &request{CUDA, 2}, &request{CUDA, 1}, &request{Choice{"cuda", 1}, 1}
	require.Equal(t, []int{0, 1}, claims(t, p, first))
	require.Nil(t, claims(t, p, two), "one is free, and it holds none while it waits")
	require.Empty(t, p.busy[2])
	require.Nil(t, claims(t, p, one), "the free one is for who came before")
	require.Nil(t, claims(t, p, third))
	p.release(0)
	require.Nil(t, claims(t, p, one))
	require.Equal(t, []int{0, 2}, claims(t, p, two))
	p.release(1)
	require.Nil(t, claims(t, p, third), "who came before may take it")
	wait := p.freed
	p.leave(one)
	<-wait
	require.Equal(t, []int{1}, claims(t, p, third))

	_, _, err := p.claim(&request{CUDA, 4})
	require.ErrorContains(t, err, "device cuda, devices 4: this worker offers cuda:0")
	p.lost[1] = ErrLost
	_, _, err = p.claim(&request{CUDA, 3})
	require.ErrorIs(t, err, ErrLost, "it had three")
	require.Empty(t, p.waiting)
}

func TestStagesThatWantSeveralGPUsAllGetThem(t *testing.T) {
	p := pool(GPU{Ordinal: 0}, GPU{Ordinal: 1}, GPU{Ordinal: 2})
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			r := &request{CUDA, 1 + i%3}
			for {
				gpus, wait, err := p.claim(r)
				if err != nil {
					t.Error(err)
					return
				}
				if wait != nil {
					<-wait
					continue
				}
				for _, g := range gpus {
					p.release(g.Ordinal)
				}
				return
			}
		})
	}
	all.Wait()
	require.Empty(t, p.waiting)
	require.Empty(t, p.busy)
}
