package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// pagedSequence is one sequence of a test: q (T, H D), k and v (T, KV D), stored in pages of a cache that held NaN before.
type pagedSequence struct {
	t, h, kv, d int
	q, k, v     []float32
	cache       *PagedCache
	pages       []int32
}

func newPagedSequence(t, h, kv, d int) *pagedSequence {
	s := newSource(uint64(t*1000 + h*100 + d))
	return &pagedSequence{t: t, h: h, kv: kv, d: d, q: s.vec(t * h * d), k: s.vec(t * kv * d), v: s.vec(t * kv * d)}
}

// store writes the keys and values to pages of a size, in an order of pages that is not theirs.
func (s *pagedSequence) store(e *Engine, page int) {
	n := (s.t+page-1)/page + 2
	s.cache = e.NewPagedCache(PagedShape{Pages: n, Page: page, KVHeads: s.kv, D: s.d})
	for _, x := range [][]float32{s.cache.keys, s.cache.values} {
		for i := range x {
			x[i] = float32(math.NaN())
		}
	}
	s.pages = nil
	for i := range n - 2 {
		s.pages = append(s.pages, int32(n-1-i))
	}
	slots := make([]int32, s.t)
	for i := range slots {
		slots[i] = s.pages[i/page]*int32(page) + int32(i%page)
	}
	half := s.t / 2
	w := s.kv * s.d
	e.PagedStore(PagedStoreArgs{Cache: s.cache, Rows: s.t - half, K: s.k[half*w:], V: s.v[half*w:], Slots: slots[half:]})
	e.PagedStore(PagedStoreArgs{Cache: s.cache, Rows: half, K: s.k, V: s.v, Slots: slots})
}

// attend computes causal attention of all tokens, in runs of the given sizes.
func (s *pagedSequence) attend(e *Engine, sizes ...int) []float32 {
	out := make([]float32, len(s.q))
	var runs []PagedRun
	for at := 0; at < s.t; {
		n := min(s.t-at, sizes[len(runs)%len(sizes)])
		runs = append(runs, PagedRun{Row: at, Rows: n, Pages: s.pages, Keys: at + n, Causal: true})
		at += n
	}
	e.PagedAttention(PagedAttentionArgs{Cache: s.cache, H: s.h, Q: s.q, O: out, Runs: runs})
	return out
}

func TestPagedAttentionIsAttention(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		for _, c := range []struct{ t, h, kv, d int }{
			{1, 1, 1, 1}, {31, 2, 2, 6}, {33, 4, 2, 16}, {70, 4, 1, 24}, {130, 2, 2, 64}, {301, 6, 2, 20}, {40, 3, 3, 80}, {600, 8, 2, 8},
		} {
			t.Run(fmt.Sprintf("%d tokens, %d heads on %d of %d", c.t, c.h, c.kv, c.d), func(t *testing.T) {
				s := newPagedSequence(c.t, c.h, c.kv, c.d)
				s.store(e, 32)
				got := s.attend(e, c.t)
				want := make([]float32, len(got))
				e.Attention(AttentionArgs{
					B: 1, T: c.t, S: c.t, H: c.h, KVHeads: c.kv, D: c.d, Causal: true,
					Q: TightView(s.q, c.t, c.h, c.d), K: TightView(s.k, c.t, c.kv, c.d), V: TightView(s.v, c.t, c.kv, c.d), O: TightView(want, c.t, c.h, c.d),
				})
				check(t, "o", got, wide(want), 2e-6)
				for _, sizes := range [][]int{{1}, {1, 7, 2, 30}, {64}} {
					if !slices.Equal(s.attend(e, sizes...), got) {
						t.Fatalf("runs of %v differ from one run", sizes)
					}
				}
				s.store(e, 96)
				if !slices.Equal(s.attend(e, c.t), got) {
					t.Fatal("larger pages give other bits")
				}
			})
		}
	})
}

func TestPagedAttentionToAllKeysIsCrossAttention(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newPagedSequence(50, 4, 2, 16)
		s.store(e, 32)
		got, want := make([]float32, 3*64), make([]float32, 3*64)
		e.PagedAttention(PagedAttentionArgs{Cache: s.cache, H: 4, Q: s.q, O: got, Runs: []PagedRun{{Rows: 3, Pages: s.pages, Keys: 50}}})
		e.Attention(AttentionArgs{
			B: 1, T: 3, S: 50, H: 4, KVHeads: 2, D: 16,
			Q: TightView(s.q, 3, 4, 16), K: TightView(s.k, 50, 2, 16), V: TightView(s.v, 50, 2, 16), O: TightView(want, 3, 4, 16),
		})
		check(t, "o", got, wide(want), 2e-6)
	})
}

func TestACopiedPageGivesTheSameBits(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newPagedSequence(45, 2, 2, 24)
		s.store(e, 32)
		want := s.attend(e, 45)
		s.cache.Copy(0, int(s.pages[1]))
		s.pages[1] = 0
		if !slices.Equal(s.attend(e, 45), want) {
			t.Fatal("the copy differs")
		}
	})
}

func TestPagedAttentionOnAnyNumberOfThreads(t *testing.T) {
	sameBits(t, func(e *Engine) []float32 {
		s := newPagedSequence(400, 4, 2, 32)
		s.store(e, 64)
		return s.attend(e, 1, 200)
	})
}

func TestPagedMisuse(t *testing.T) {
	e := newEngine(t, 1, Portable)
	s := newPagedSequence(40, 2, 2, 8)
	s.store(e, 32)
	panics(t, "an odd page", func() { e.NewPagedCache(PagedShape{Pages: 1, Page: 16, KVHeads: 1, D: 1}) })
	panics(t, "a run beyond its pages", func() {
		e.PagedAttention(PagedAttentionArgs{Cache: s.cache, H: 2, Q: s.q, O: make([]float32, 16), Runs: []PagedRun{{Rows: 1, Pages: s.pages, Keys: 65}}})
	})
	panics(t, "a slot beyond the cache", func() {
		e.PagedStore(PagedStoreArgs{Cache: s.cache, Rows: 1, K: s.k, V: s.v, Slots: []int32{4 * 32}})
	})
}

// BenchmarkPagedAttention is a step of 16 sequences of 72 tokens, and the prefill of 512.
func BenchmarkPagedAttention(b *testing.B) {
	for _, c := range []struct {
		name       string
		keys, rows int
		runs       int
	}{{"decode", 72, 1, 16}, {"decode long", 1000, 1, 16}, {"prefill", 512, 512, 1}} {
		b.Run(c.name, func(b *testing.B) {
			e := newEngine(b, 1, Auto)
			s := newPagedSequence(c.keys, 4, 4, 64)
			s.store(e, 32)
			q, o := make([]float32, c.rows*c.runs*256), make([]float32, c.rows*c.runs*256)
			var runs []PagedRun
			for i := range c.runs {
				runs = append(runs, PagedRun{Row: i * c.rows, Rows: c.rows, Pages: s.pages, Keys: c.keys, Causal: true})
			}
			for b.Loop() {
				e.PagedAttention(PagedAttentionArgs{Cache: s.cache, H: 4, Q: q, O: o, Runs: runs})
			}
			macs := float64(2 * 256 * c.keys * c.rows * c.runs)
			if c.rows > 1 {
				macs /= 2
			}
			b.ReportMetric(2*macs*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
