// Package page keeps account of the pages of a cache of keys and values: which are free, which sequence holds which, and which are shared.
//
// A [Table] lists the pages of one sequence. Sequences that begin alike share pages; a page that several hold is copied before one of them
// writes to it. The package knows numbers only: the memory is its caller's.
package page

// Table is the pages of a sequence, in order. The zero value is an empty sequence. A Table is changed by methods of its Pool only.
type Table struct {
	Pages  []int32
	Tokens int // in the pages
}

// Copy asks the owner of the memory to make page To what page From is.
type Copy struct{ From, To int32 }

// Pool hands out pages. It is not safe for concurrent use.
type Pool struct {
	size int // tokens of a page
	free []int32
	refs []int32 // tables that hold each page
}

// NewPool has n free pages of size tokens.
func NewPool(n, size int) *Pool {
	p := &Pool{size: size, refs: make([]int32, n)}
	for i := range n {
		p.free = append(p.free, int32(n-1-i))
	}
	return p
}

// Size is the number of tokens of a page.
func (p *Pool) Size() int { return p.size }

// Free is the number of pages that no table holds.
func (p *Pool) Free() int { return len(p.free) }

// Total is the number of pages.
func (p *Pool) Total() int { return len(p.refs) }

// For is the number of pages that n tokens fill.
func (p *Pool) For(n int) int { return (n + p.size - 1) / p.size }

// Reserve makes room for n more tokens. Where the last page is shared and not full, the table gets a page of its own: the caller copies it before
// it writes. It reports false, and changes nothing, if too few pages are free.
func (p *Pool) Reserve(t *Table, n int) (c Copy, copied, ok bool) {
	last := t.Tokens / p.size
	split := n > 0 && t.Tokens%p.size != 0 && p.refs[t.Pages[last]] > 1
	need := p.For(t.Tokens+n) - len(t.Pages)
	if split {
		need++
	}
	if need > len(p.free) {
		return c, false, false
	}
	if split {
		c = Copy{From: t.Pages[last], To: p.take()}
		p.refs[c.From]--
		t.Pages[last] = c.To
	}
	for p.For(t.Tokens+n) > len(t.Pages) {
		t.Pages = append(t.Pages, p.take())
	}
	return c, split, true
}

// Slots appends the places of the tokens [from, to), which are reserved: page times size plus place in the page.
func (p *Pool) Slots(slots []int32, t *Table, from, to int) []int32 {
	for i := from; i < to; i++ {
		slots = append(slots, t.Pages[i/p.size]*int32(p.size)+int32(i%p.size))
	}
	return slots
}

// Fork returns a table with the same tokens that shares the pages.
func (p *Pool) Fork(t *Table) Table {
	f := Table{Pages: append([]int32(nil), t.Pages[:p.For(t.Tokens)]...), Tokens: t.Tokens}
	for _, x := range f.Pages {
		p.refs[x]++
	}
	return f
}

// Release empties a table.
func (p *Pool) Release(t *Table) {
	for _, x := range t.Pages {
		if p.refs[x]--; p.refs[x] == 0 {
			p.free = append(p.free, x)
		}
	}
	*t = Table{}
}

func (p *Pool) take() int32 {
	x := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.refs[x] = 1
	return x
}
