//go:build gpu

package cuda

import (
	"unsafe"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// chunk is the elements of a block of a kernel that works on a list, as in optimiser.cu.
const chunk = 8192

// chunks deals elements out to blocks.
func chunks(elements int) int { return ceil(elements, chunk) }

// place is where a tensor stands in a list: its size, and its first chunk.
type place struct{ size, first int64 }

// deal gives a tensor the next chunks of a list, which has so many so far.
func deal(v *device.Value, blocks *int) place {
	p := place{int64(v.Size()), int64(*blocks)}
	*blocks += chunks(v.Size())
	return p
}

// send copies a list to the device's memory, for a kernel that is asked for next.
func send[T any](b *Backend, to driver.Pointer, list []T) error {
	return b.staging.upload(to, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), listBytes(list)))
}

// listBytes is the memory that a list takes.
func listBytes[T any](list []T) int {
	var t T
	return len(list) * int(unsafe.Sizeof(t))
}
