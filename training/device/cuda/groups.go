//go:build gpu

package cuda

import (
	"fmt"
	"math/bits"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// groups say how a kernel of rows runs: blocks of groups, a group being the warps that share a row (row.cuh).
type groups struct {
	grid       driver.Grid
	warps      int  // of a group
	even       bool // rows can be read 16 bytes at a time
	rows, most int  // most: blocks, so that each group has a row
}

const (
	rowThreads = 512 // row_threads of row.cuh
	heldEven   = 16  // elements of a thread: held of norm.cu
	heldSingle = 8
)

// groupsFor plans rows of cols elements of a type. The values are all that are read or written in rows, and what is the same for each row.
func (b *Backend) groupsFor(rows, cols int, t device.DType, vs ...*device.Value) groups {
	g := groups{rows: rows, even: cols%(16/t.Bytes()) == 0}
	for _, v := range vs {
		if v == nil {
			continue
		}
		if v.Size() != rows*cols && v.Size() != cols {
			panic(fmt.Sprintf("cuda: %v for %d rows of %d", v, rows, cols))
		}
		g.even = g.even && address(v, v.Desc().DType)%16 == 0
	}
	each := heldSingle
	if g.even {
		each = heldEven
	}
	shares := (max(cols, 1) + 32*each - 1) / (32 * each)
	g.warps = min(1<<bits.Len(uint(shares-1)), rowThreads/32)
	g.grid.ThreadsX = max(threads, 32*g.warps)
	perBlock := g.grid.ThreadsX / (32 * g.warps)
	g.most = (rows + perBlock - 1) / perBlock
	g.grid.X = min(g.most, 32*b.device.Processors)
	return g
}

// perRow panics where a value has another number of elements than there are rows.
func perRow(rows int, vs ...*device.Value) {
	for _, v := range vs {
		if v != nil && v.Size() != rows {
			panic(fmt.Sprintf("cuda: %v for %d rows", v, rows))
		}
	}
}

// rows ends a launch.
func (c *call) rows(g groups) {
	if g.rows == 0 {
		calls.Put(c)
		return
	}
	c.launch(g.grid)
}
