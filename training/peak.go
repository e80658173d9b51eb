package training

import (
	"fmt"
	"time"

	"tempera/training/device"
)

// measurePeak times matrix products that fit the caches: the rate that a step is
// compared with where the configuration names none. It takes some milliseconds.
func measurePeak(b device.Backend) (float64, error) {
	const n, tries = 256, 5
	var m [3]*device.Value
	for i := range m {
		v, err := device.New(b, device.Floats(n, n))
		if err != nil {
			return 0, fmt.Errorf("measure the device's rate: %w", err)
		}
		defer b.Free(v.Buffer()) //nolint:errcheck // a figure for people; the memory is small
		m[i] = v
	}
	best := 0.0
	for range tries {
		start := time.Now()
		b.Gemm(device.GemmArgs{M: n, N: n, K: n, A: m[0], B: m[1], C: m[2]})
		if err := b.Sync(); err != nil {
			return 0, fmt.Errorf("measure the device's rate: %w", err)
		}
		best = max(best, 2*n*n*n/time.Since(start).Seconds())
	}
	return best, nil
}
