package pack

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// list is documents in memory: token t of document i is 1000 i + t.
type list []int

func (l list) Len() int         { return len(l) }
func (l list) Length(i int) int { return l[i] }
func (l list) Read(i, start int, out []int32) error {
	if start+len(out) > l[i] {
		return fmt.Errorf("document %d ends", i)
	}
	for k := range out {
		out[k] = int32(1000*i + start + k)
	}
	return nil
}

func documents(n, longest int, seed uint64) list {
	r := rand.New(rand.NewPCG(seed, 1))
	var l list
	for range n {
		l = append(l, 2+r.IntN(longest-1))
	}
	return l
}

func arrays(l *layer) Arrays {
	n := l.cfg.Batch * l.cfg.Context
	a := Arrays{Tokens: make([]int32, n), Targets: make([]int32, n), Ends: make([]int32, l.Spans())}
	if l.Spans() > 0 {
		a.Positions = make([]int32, n)
	}
	return a
}

func TestEveryTokenIsPredictedOnceFromTheOneBeforeIt(t *testing.T) {
	for _, mode := range []Mode{Joined, Separate} {
		for _, context := range []int{2, 7, 64, 65, 200} {
			t.Run(fmt.Sprintf("%s rows of %d", mode, context), func(t *testing.T) {
				d := documents(97, 150, uint64(context))
				p, err := NewPass(Config{Batch: 3, Context: context, Mode: mode, Pad: -7, Ignore: -100}, d)
				require.NoError(t, err)
				a := arrays(&p.layer)
				seen, total, want := map[int32]bool{}, 0, 0
				for _, n := range d {
					want += n - 1
				}
				for i := range p.Batches() {
					n, err := p.Fill(i, a)
					require.NoError(t, err)
					total += n
					counted := 0
					for k, target := range a.Targets {
						if target == -100 {
							continue
						}
						counted++
						require.Equal(t, a.Tokens[k]+1, target)
						require.False(t, seen[target])
						seen[target] = true
					}
					require.Equal(t, n, counted)
					if mode == Separate {
						checkSpans(t, a, context)
					}
				}
				require.Equal(t, want, total)
				require.Len(t, seen, want)
			})
		}
	}
}

// checkSpans: spans tile the batch, hold one document each, never cross a row,
// and count positions from 0.
func checkSpans(t *testing.T, a Arrays, context int) {
	t.Helper()
	require.Equal(t, int32(0), a.Ends[0])
	require.Equal(t, int32(len(a.Tokens)), a.Ends[len(a.Ends)-1])
	for s := 1; s < len(a.Ends); s++ {
		lo, hi := int(a.Ends[s-1]), int(a.Ends[s])
		require.LessOrEqual(t, lo, hi)
		if lo == hi {
			continue
		}
		require.Equal(t, lo/context, (hi-1)/context, "a span lies in one row")
		for i := lo; i < hi; i++ {
			require.Equal(t, int32(i-lo), a.Positions[i])
			require.Equal(t, a.Tokens[lo]/1000, a.Tokens[i]/1000, "a span is of one document")
		}
	}
}

func TestSeparateDocumentsLeaveLittleRoom(t *testing.T) {
	d := documents(5000, 60, 3)
	p, err := NewPass(Config{Batch: 1, Context: 256, Mode: Separate, Ignore: -100}, d)
	require.NoError(t, err)
	total := 0
	for _, n := range d {
		total += n - 1
	}
	require.Less(t, float64(p.Batches()*256), 1.01*float64(total))
}

func TestABatchDependsOnSeedAndStepAlone(t *testing.T) {
	parts := []Part{{Data: documents(300, 80, 1), Weight: 3}, {Data: documents(50, 80, 2), Weight: 1}}
	cfg := Config{Batch: 4, Context: 32, Mode: Separate, Seed: 9, Ignore: -100}
	first, err := New(cfg, parts...)
	require.NoError(t, err)
	var want []Arrays
	for step := range int64(60) {
		a := arrays(&first.layer)
		_, err := first.Fill(step, a)
		require.NoError(t, err)
		want = append(want, a)
	}
	second, err := New(cfg, parts...)
	require.NoError(t, err)
	a := arrays(&second.layer)
	for _, step := range []int64{59, 3, 31, 30, 0} {
		_, err := second.Fill(step, a)
		require.NoError(t, err)
		require.Equal(t, want[step], a, "step %d", step)
	}
	cfg.Seed++
	other, err := New(cfg, parts...)
	require.NoError(t, err)
	a = arrays(&other.layer)
	_, err = other.Fill(0, a)
	require.NoError(t, err)
	require.NotEqual(t, want[0].Tokens, a.Tokens)
}

func TestAMixtureCountsTheEpochsOfEachSet(t *testing.T) {
	a, b := documents(400, 40, 1), documents(40, 40, 2)
	p, err := New(Config{Batch: 5, Context: 40, Mode: Joined, Ignore: -100}, Part{Data: a, Weight: 1}, Part{Data: b, Weight: 1})
	require.NoError(t, err)
	require.InDelta(t, 5, p.Epochs(p.Steps())[1], 1)
	require.InDelta(t, 0.5, p.Epochs(p.Steps())[0], 0.1)
}

func TestWhatCannotBePacked(t *testing.T) {
	d := documents(3, 10, 1)
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"a row of one position", Config{Batch: 1, Context: 1, Mode: Joined}, "context is 1"},
		{"an unknown mode", Config{Batch: 1, Context: 8, Mode: "loose"}, `packing is "loose"`},
		{"less text than a batch", Config{Batch: 64, Context: 8, Mode: Joined}, "do not fill a batch of 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cfg, Part{Data: d})
			require.ErrorContains(t, err, c.want)
		})
	}
}

// answered is documents of which the tokens from the third on are learned.
type answered struct{ list }

func (a answered) Learn(i, start int, out []bool) error {
	for k := range out {
		out[k] = start+k >= 2
	}
	return nil
}

func TestOnlyWhatIsLearnedIsPredicted(t *testing.T) {
	for _, mode := range []Mode{Joined, Separate} {
		t.Run(string(mode), func(t *testing.T) {
			d := documents(40, 30, 5)
			p, err := NewPass(Config{Batch: 2, Context: 16, Mode: mode, Pad: -7, Ignore: -100}, answered{d})
			require.NoError(t, err)
			a, total, want := arrays(&p.layer), 0, 0
			for _, n := range d {
				want += max(0, n-2)
			}
			for i := range p.Batches() {
				n, err := p.Fill(i, a)
				require.NoError(t, err)
				total += n
				counted := 0
				for k, target := range a.Targets {
					if target == -100 {
						continue
					}
					counted++
					require.Equal(t, a.Tokens[k]+1, target)
					require.GreaterOrEqual(t, target%1000, int32(2))
				}
				require.Equal(t, n, counted)
			}
			require.Equal(t, want, total)
		})
	}
}
