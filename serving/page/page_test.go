package page

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestForksShareFullPagesAndCopyTheLast(t *testing.T) {
	p := NewPool(5, 4)
	var a Table
	_, copied, ok := p.Reserve(&a, 6)
	require.True(t, ok)
	require.False(t, copied)
	a.Tokens = 6
	b := p.Fork(&a)
	require.Equal(t, a.Pages, b.Pages)
	require.Equal(t, 3, p.Free())

	c, copied, ok := p.Reserve(&b, 1)
	require.True(t, ok)
	require.True(t, copied, "the half full page has two owners")
	require.Equal(t, Copy{From: a.Pages[1], To: b.Pages[1]}, c)
	require.Equal(t, a.Pages[0], b.Pages[0])
	_, copied, ok = p.Reserve(&a, 2)
	require.True(t, ok)
	require.False(t, copied, "the other owner is gone")
	require.Equal(t, 2, p.Free())
	require.Equal(t, []int32{a.Pages[1]*4 + 2, a.Pages[1]*4 + 3}, p.Slots(nil, &a, 6, 8))

	p.Release(&a)
	require.Equal(t, 3, p.Free())
	p.Release(&b)
	require.Equal(t, 5, p.Free())
}

func TestAReservationThatFailsChangesNothing(t *testing.T) {
	p := NewPool(2, 4)
	var a Table
	_, _, ok := p.Reserve(&a, 6)
	require.True(t, ok)
	a.Tokens = 6
	b := p.Fork(&a)
	_, _, ok = p.Reserve(&b, 1)
	require.False(t, ok, "the copy needs a page")
	_, _, ok = p.Reserve(&a, 3)
	require.False(t, ok)
	require.Equal(t, a, b)
	p.Release(&b)
	_, _, ok = p.Reserve(&a, 2)
	require.True(t, ok)
}

func TestAFullSharedPageIsNotCopied(t *testing.T) {
	p := NewPool(2, 4)
	a := Table{}
	_, _, ok := p.Reserve(&a, 4)
	require.True(t, ok)
	a.Tokens = 4
	b := p.Fork(&a)
	_, copied, ok := p.Reserve(&b, 1)
	require.True(t, ok)
	require.False(t, copied)
	require.Equal(t, a.Pages[0], b.Pages[0])
	require.Zero(t, p.Free())
}

// Whatever tables do, a page that a table writes to is its own, and pages are neither lost nor held twice.
func TestTablesNeverWriteToPagesOfOthers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPool(40, 4)
	content := make([][4]int, 40)
	type sequence struct {
		table Table
		want  []int
	}
	var live []*sequence
	next := 0
	for range 5000 {
		switch k := r.IntN(10); {
		case k == 0 || len(live) == 0:
			live = append(live, &sequence{})
		case k == 1:
			s := live[r.IntN(len(live))]
			live = append(live, &sequence{table: p.Fork(&s.table), want: append([]int(nil), s.want...)})
		case k == 2:
			i := r.IntN(len(live))
			p.Release(&live[i].table)
			live = append(live[:i], live[i+1:]...)
		default:
			s := live[r.IntN(len(live))]
			n := 1 + r.IntN(5)
			c, copied, ok := p.Reserve(&s.table, n)
			if !ok {
				p.Release(&s.table)
				s.want = nil
				continue
			}
			if copied {
				content[c.To] = content[c.From]
			}
			for _, slot := range p.Slots(nil, &s.table, s.table.Tokens, s.table.Tokens+n) {
				content[slot/4][slot%4] = next
				s.want = append(s.want, next)
				next++
			}
			s.table.Tokens += n
		}
		held := map[int32]bool{}
		for _, s := range live {
			for i, w := range s.want {
				require.Equal(t, w, content[s.table.Pages[i/4]][i%4])
			}
			for _, x := range s.table.Pages {
				held[x] = true
			}
		}
		require.Equal(t, 40-len(held), p.Free())
	}
}
