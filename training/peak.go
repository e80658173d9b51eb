package training

import (
	"fmt"
	"time"

	"tempera/training/device"
)

// The sides of the products that are timed: they fit the caches of a processor, and fill a device with memory of its own.
const (
	peakSide         = 384
	separatePeakSide = 4096
)

// measurePeak times matrix products of activations: the rate that a step is
// compared with where the configuration names none. The first products are slow,
// for cores wake up and memory is touched: it goes on for a tenth of a second.
func measurePeak(b device.Backend) (float64, error) {
	const tries, long = 3, 100 * time.Millisecond
	n := peakSide
	if _, ok := b.(device.Separate); ok {
		n = separatePeakSide
	}
	var m [3]*device.Value
	for i := range m {
		v, err := device.New(b, device.Desc{DType: device.ActivationsOf(b), Shape: device.Shape{n, n}})
		if err != nil {
			return 0, fmt.Errorf("measure the device's rate: %w", err)
		}
		defer b.Free(v.Buffer()) //nolint:errcheck // a figure for people; the memory is small
		m[i] = v
	}
	best, began := 0.0, time.Now()
	for i := 0; i < tries || time.Since(began) < long; i++ {
		start := time.Now()
		b.Gemm(device.GemmArgs{M: n, N: n, K: n, A: m[0], B: m[1], C: m[2]})
		if err := b.Sync(); err != nil {
			return 0, fmt.Errorf("measure the device's rate: %w", err)
		}
		best = max(best, 2*float64(n)*float64(n)*float64(n)/time.Since(start).Seconds())
	}
	return best, nil
}
