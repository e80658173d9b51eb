package device_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/device/devicetest"
	"tempera/training/kernel"
)

func TestBackendsAgreeWithTheReference(t *testing.T) {
	t.Run("on memory that the host cannot address", func(t *testing.T) { devicetest.Run(t, newCPU(t, device.OpaqueHeap())) })
	for level := kernel.Portable; level <= kernel.Detect(); level++ {
		t.Run(level.String(), func(t *testing.T) {
			e, err := kernel.New(kernel.Options{Threads: 2, Level: level})
			check(t, err)
			t.Cleanup(e.Close)
			devicetest.Run(t, device.NewCPU(e))
		})
	}
}

func TestEveryMethodIsTried(t *testing.T) {
	if missing := devicetest.Untried(); missing != nil {
		t.Fatalf("no trial calls %v: add one to package devicetest", missing)
	}
}
