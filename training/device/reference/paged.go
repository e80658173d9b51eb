package reference

import (
	"math"

	"tempera/training/device"
)

var _ device.Paged = (*Backend)(nil)

// place is where the vector of a key head begins, of the token at a place.
func place(p device.Pages, slot, head int) int {
	return ((slot/p.Page*p.KVHeads+head)*p.Page + slot%p.Page) * p.D
}

// PagedStore is part of device.Paged.
func (b *Backend) PagedStore(a device.PagedStoreArgs) {
	kv, keys, values, columns := b.of(a.KV), b.of(a.Keys), b.of(a.Values), a.KV.Size()/a.Rows
	for r, slot := range b.ints(a.Slots) {
		for h := range a.KVHeads {
			to := place(a.Pages, slot, h)
			copy(keys[to:to+a.D], kv[r*columns+a.OffsetK+h*a.D:])
			copy(values[to:to+a.D], kv[r*columns+a.OffsetV+h*a.D:])
		}
	}
}

// PagedAttention is part of device.Paged.
func (b *Backend) PagedAttention(a device.PagedAttentionArgs) {
	q, o, keys, values, columns := b.of(a.Q), b.of(a.O), b.of(a.Keys), b.of(a.Values), a.Q.Size()/a.Rows
	table, sequence, visible := b.ints(a.Table), b.ints(a.Sequence), b.ints(a.Visible)
	scale := float64(a.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(a.D))
	}
	for r := range a.Rows {
		pages := table[sequence[r]*a.Table.Cols():]
		for h := range a.H {
			query, out := q[r*columns+h*a.D:][:a.D], o[(r*a.H+h)*a.D:][:a.D]
			clear(out)
			total := 0.0
			for key := range visible[r] {
				at := place(a.Pages, pages[key/a.Page]*a.Page+key%a.Page, h/(a.H/a.KVHeads))
				score := 0.0
				for i := range a.D {
					score += query[i] * keys[at+i]
				}
				p := math.Exp(score * scale)
				total += p
				for i := range a.D {
					out[i] += p * values[at+i]
				}
			}
			for i := range out {
				out[i] /= total
			}
		}
	}
}
