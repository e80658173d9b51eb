//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// pickThreads is the size of a block, which has a row, as in sampling.cu.
const pickThreads = 1024

// Pick is part of device.Paged.
func (b *Backend) Pick(a device.PickArgs) {
	hidden := 0
	if a.Hidden != nil {
		hidden = a.Hidden.Size() / a.Rows
	}
	b.kernel("sampling", "pick", single).floats(a.Logits).ints(a.Asks).ints(a.Hidden).i32(hidden).ints(a.Picked).i32(a.Vocab).
		launch(driver.Grid{X: a.Rows, ThreadsX: pickThreads})
}
