package training

import (
	"fmt"
	"time"

	"tempera/training/device"
)

// The sides of the products that are timed: the first fits the caches of a processor. On a device with memory of its own they double until a product takes
// much longer than its launch, at most to what fills any.
const (
	peakSide               = 384
	leastSide, largestSide = 512, 4096
	longProduct            = time.Millisecond
)

// measurePeak times matrix products of activations: the rate that a step is
// compared with where the configuration names none.
func measurePeak(b device.Backend) (float64, error) {
	n, most := peakSide, peakSide
	if _, ok := b.(device.Separate); ok {
		n, most = leastSide, largestSide
	}
	for ; ; n *= 2 {
		best, err := timeProduct(b, n)
		if err != nil {
			return 0, fmt.Errorf("measure the device's rate: %w", err)
		}
		if n == most || best > longProduct {
			return 2 * float64(n) * float64(n) * float64(n) / best.Seconds(), nil
		}
	}
}

// timeProduct is the least time of a product of a side. The first products are slow,
// for cores wake up and memory is touched: it goes on for a tenth of a second.
func timeProduct(b device.Backend, n int) (time.Duration, error) {
	const tries, long = 3, 100 * time.Millisecond
	var m [3]*device.Value
	for i := range m {
		v, err := device.New(b, device.Desc{DType: device.ActivationsOf(b), Shape: device.Shape{n, n}})
		if err != nil {
			return 0, err
		}
		defer b.Free(v.Buffer()) //nolint:errcheck // a figure for people; the memory is small
		m[i] = v
	}
	var best time.Duration
	began := time.Now()
	for i := 0; i < tries || time.Since(began) < long; i++ {
		start := time.Now()
		b.Gemm(device.GemmArgs{M: n, N: n, K: n, A: m[0], B: m[1], C: m[2]})
		if err := b.Sync(); err != nil {
			return 0, err
		}
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	return best, nil
}
