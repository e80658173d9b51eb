//go:build gpu

package cuda

import (
	"os"
	"testing"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	"tempera/training/device/devicetest"
)

// open opens the device, or skips the test where there is none. REQUIRE_GPU makes that a failure.
func open(t *testing.T, p Precision) *Backend {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	b, err := Open(Options{Precision: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestMethodsAgreeWithTheReference(t *testing.T) {
	t.Run("f32", func(t *testing.T) { devicetest.Run(t, open(t, Full)) })
	t.Run("bf16", func(t *testing.T) { devicetest.RunRounded(t, open(t, Mixed), device.BFloat16) })
}

func TestPagesAgreeWithTheReference(t *testing.T) {
	t.Run("f32", func(t *testing.T) { devicetest.RunPaged(t, open(t, Full), device.Float32) })
	t.Run("bf16", func(t *testing.T) { devicetest.RunPaged(t, open(t, Mixed), device.BFloat16) })
}
