package devicetest

import (
	"testing"

	"tempera/training/device"
)

// pagedTrial is two sequences in pages that lie apart: the rows of the first see some of its keys each, as a prompt does, the second has one row.
type pagedTrial struct {
	name              string
	page, kv, h, d    int
	first, prompt     int // keys of the first sequence, of which the last `prompt` are queries
	second            int // keys of the second sequence
	offset, more, gap int // columns of KV before the keys, after the values, and pages between the sequences
}

func pagedTrials() []trial {
	var ts []trial
	for _, p := range []pagedTrial{
		{name: "of one head", page: 32, kv: 1, h: 1, d: 64, first: 40, prompt: 3, second: 5},
		{name: "of shared heads", page: 32, kv: 2, h: 6, d: 16, first: 70, prompt: 2, second: 33, offset: 3, more: 2, gap: 1},
		{name: "of many shared heads", page: 32, kv: 1, h: 11, d: 24, first: 9, prompt: 1, second: 64},
		{name: "of an odd width", page: 32, kv: 2, h: 2, d: 13, first: 5, prompt: 5, second: 1},
		{name: "of long sequences", page: 64, kv: 1, h: 2, d: 8, first: 700, prompt: 2, second: 257},
	} {
		ts = append(ts, p.trials()...)
	}
	return ts
}

func (p pagedTrial) trials() []trial {
	count := func(keys int) int { return (keys + p.page - 1) / p.page }
	pages := count(p.first) + count(p.second) + p.gap
	most := max(count(p.first), count(p.second))
	table, sequence, visible := make([]int32, 2*most), []int32{}, []int32{}
	for i := range count(p.first) {
		table[i] = int32(pages - 1 - i)
	}
	for i := range count(p.second) {
		table[most+i] = int32(i)
	}
	for i := range p.prompt {
		sequence, visible = append(sequence, 0), append(visible, int32(p.first-p.prompt+1+i))
	}
	sequence, visible = append(sequence, 1), append(visible, int32(p.second))
	rows := len(sequence)
	cache := a(pages, p.kv, p.page, p.d)
	shape := func(v []*device.Value) device.Pages {
		return device.Pages{Page: p.page, KVHeads: p.kv, D: p.d, Keys: v[0], Values: v[1]}
	}
	slots := make([]int32, rows)
	for i := range slots {
		slots[i] = int32((i*37 + 5) % (pages * p.page))
	}
	columns := p.offset + 2*p.kv*p.d + p.more
	return []trial{
		{method: "PagedStore", name: p.name, exact: true, values: []operand{cache, cache, a(rows, columns), is(slots...)}, call: func(b device.Backend, v []*device.Value) {
			b.(device.Paged).PagedStore(device.PagedStoreArgs{Pages: shape(v), Rows: rows, KV: v[2], OffsetK: p.offset, OffsetV: p.offset + p.kv*p.d, Slots: v[3]})
		}},
		{
			method: "PagedAttention", name: p.name,
			values: []operand{cache, cache, a(rows, p.h*p.d+p.more), a(rows, p.h, p.d), {shape: []int{2, most}, ints: table}, is(sequence...), is(visible...)},
			call: func(b device.Backend, v []*device.Value) {
				b.(device.Paged).PagedAttention(device.PagedAttentionArgs{
					Pages: shape(v), Rows: rows, H: p.h, Q: v[2], O: v[3], Table: v[4], Sequence: v[5], Visible: v[6], MostKeys: max(p.first, p.second),
				})
			},
		},
	}
}

// RunPaged holds a backend to the reference in what generation needs, with activations of a type.
func RunPaged(t *testing.T, b device.Paged, activations device.DType) {
	for _, c := range append(pagedTrials(), pickTrials()...) {
		t.Run(c.method+" "+c.name, func(t *testing.T) { c.run(t, b, activations) })
	}
}
