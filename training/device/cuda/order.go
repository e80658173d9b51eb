//go:build gpu

package cuda

import (
	"math/bits"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

const (
	orderTile = 2048 // positions of a block, as in order.cu
	orderBits = 8    // of a key, in one pass
)

// orderBytes is the memory that order takes.
func orderBytes(n int) int { return 1 << orderBits * ceil(n, orderTile) * device.WordBytes }

// order writes the n positions of keys, each below limit, to out, sorted by key and then by position; other keys come last. spare has the size of out, counts
// orderBytes.
func (b *Backend) order(keys, out, spare, counts driver.Pointer, n, limit int) {
	passes := max(1, ceil(bits.Len(uint(limit)), orderBits))
	tiles := ceil(n, orderTile)
	if passes%2 == 0 {
		out, spare = spare, out // the last pass writes to out
	}
	var in driver.Pointer
	for pass := range passes {
		sorting := func(c *call) {
			c.pointer(in).pointer(keys).i32(n).i32(limit).i32(pass * orderBits).launch(driver.Grid{X: tiles, ThreadsX: threads})
		}
		sorting(b.kernel("order", "order_count", single).pointer(counts))
		b.kernel("order", "order_scan", single).pointer(counts).i32(tiles << orderBits).launch(driver.Grid{ThreadsX: 1024})
		sorting(b.kernel("order", "order_move", single).pointer(out).pointer(counts))
		in, out, spare = out, spare, out
	}
}
