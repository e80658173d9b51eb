package training

import (
	"fmt"
	"time"

	"tempera/training/device"
)

// measurePeak times matrix products that fit the caches: the rate that a step is
// compared with where the configuration names none. The first products are slow,
// for cores wake up and memory is touched: it goes on for a tenth of a second.
func measurePeak(b device.Backend) (float64, error) {
	const n, tries, long = 384, 3, 100 * time.Millisecond
	var m [3]*device.Value
	for i := range m {
		v, err := device.New(b, device.Floats(n, n))
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
		best = max(best, 2*n*n*n/time.Since(start).Seconds())
	}
	return best, nil
}
