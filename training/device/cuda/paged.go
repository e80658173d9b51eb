//go:build gpu

package cuda

import (
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

var _ device.Paged = (*Backend)(nil)

// PagedStore is part of device.Paged.
func (b *Backend) PagedStore(a device.PagedStoreArgs) {
	t := activations(a.Keys, a.Values, a.KV)
	b.kernel("paged", "paged_store", t).value(a.Keys, t).value(a.Values, t).value(a.KV, t).ints(a.Slots).i32(a.Rows).i64(a.KV.Size() / a.Rows).
		i32(a.OffsetK).i32(a.OffsetV).i32(a.Page).i32(a.KVHeads).i32(a.D).each(a.Rows * a.KVHeads * a.D)
}

// Of attention over pages: the threads of a block, the query heads that one takes, the elements of a vector that a thread holds, the keys of a split at least.
const (
	pagedThreads = 128
	pagedGroup   = 8
	pagedLane    = 8
	pagedSpan    = 256
)

// PagedAttention is part of device.Paged.
func (b *Backend) PagedAttention(a device.PagedAttentionArgs) {
	lanes := 1
	for lanes*pagedLane < a.D {
		lanes *= 2
	}
	if lanes > 32 || a.H%a.KVHeads != 0 {
		panic(fmt.Sprintf("cuda: PagedAttention of %d heads of width %d over %d", a.H, a.D, a.KVHeads))
	}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(a.D)))
	}
	t := activations(a.Keys, a.Values, a.Q, a.O)
	// As many splits as keep the device busy, each a whole number of spans: the result does not depend on what else runs.
	span := pagedSpan
	for (a.MostKeys+span-1)/span > 32 {
		span *= 2
	}
	splits := (a.MostKeys + span - 1) / span
	group := a.H / a.KVHeads
	b.withWorkspace(a.Rows*a.H*splits*(a.D+2)*4, func(parts driver.Pointer) {
		b.kernel("paged", "paged_attention", t).value(a.O, t).pointer(parts).value(a.Q, t).value(a.Keys, t).value(a.Values, t).
			ints(a.Table).ints(a.Sequence).ints(a.Visible).i64(a.Q.Size() / a.Rows).i32(a.Table.Cols()).i32(a.Page).i32(a.KVHeads).i32(a.H).i32(a.D).
			i32(lanes).i32(span).i32(splits).f32(a.Scale).
			launch(driver.Grid{
				X: a.Rows, Y: a.KVHeads * ((group + pagedGroup - 1) / pagedGroup), Z: splits, ThreadsX: pagedThreads,
				Shared: pagedThreads / lanes * pagedGroup * (a.D + 2) * 4,
			})
		if splits > 1 {
			b.kernel("paged", "paged_merge", t).value(a.O, t).pointer(parts).i32(splits).i32(a.D).launch(driver.Grid{X: a.Rows * a.H, ThreadsX: 64})
		}
	})
}
