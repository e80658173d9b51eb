//go:build gpu

package cuda

import (
	"errors"
	"math"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// onFake skips what asks the fake device for faults.
func onFake(t *testing.T) {
	t.Helper()
	if !strings.Contains(driver.Library(), "fake") {
		t.Skip("only the fake device makes faults")
	}
}

// norms are the norms of rows, which a block sums up across barriers.
func norms(t *testing.T, b *Backend) []float32 {
	t.Helper()
	const rows, cols = 2, 3000
	x := make([]float32, rows*cols)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	v, err := device.FromFloats(b, x, rows, cols)
	check(t, err)
	y, err := device.New(b, device.Floats(rows, cols))
	check(t, err)
	inv, err := device.New(b, device.Floats(rows))
	check(t, err)
	b.L2Normalize(device.L2NormalizeArgs{Rows: rows, Cols: cols, X: v, Y: y, Inv: inv, Eps: 1e-6})
	out, err := device.ReadFloats(b, inv)
	check(t, err)
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMissingBarrierShows(t *testing.T) {
	onFake(t)
	b := open(t, Full)
	want := norms(t, b)
	t.Setenv("FAKE_CUDA_NO_BARRIERS", "1")
	got := norms(t, b)
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) < 1e-3*math.Abs(float64(want[i])) {
			t.Errorf("row %d has the norm %v without barriers too", i, got[i])
		}
	}
}

func TestWrongArgumentsOfALaunchShow(t *testing.T) {
	onFake(t)
	b := open(t, Full)
	v, err := device.New(b, device.Floats(8))
	check(t, err)
	b.kernel("elementwise", "scale", device.Float32).value(v, device.Float32).value(v, device.Float32).f32(2).i32(8).each(8) // the count is 64 bits wide
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_INVALID_VALUE") {
		t.Errorf("a launch whose last argument is too short gives %v", err)
	}
	b.kernel("elementwise", "scael", device.Float32).each(8)
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "scael_f32") {
		t.Errorf("a launch of no kernel gives %v", err)
	}
	check(t, b.Sync())
}

func TestMemoryThatIsReadBeforeItIsWrittenIsNoNumber(t *testing.T) {
	onFake(t)
	b := open(t, Full)
	p, err := b.device.Alloc(64)
	check(t, err)
	v := device.NewValue(device.Floats(16), &buffer{p: p, words: 16}, 0) // Alloc of the backend clears
	got, err := device.ReadFloats(b, v)
	check(t, err)
	for i, x := range got {
		if x == x {
			t.Errorf("element %d of fresh memory is %v", i, x)
		}
	}
	check(t, b.device.Free(p))
}

func TestFullMemoryIsAnError(t *testing.T) {
	onFake(t)
	b := open(t, Full)
	_, err := b.Alloc(math.MaxInt32)
	if !driver.IsOutOfMemory(err) {
		t.Errorf("an allocation of 8 GiB of 1 gives %v", err)
	}
}

func TestAMissingWaitForAnotherStreamShows(t *testing.T) {
	onFake(t)
	b := open(t, Full)
	p, err := b.device.Alloc(64)
	check(t, err)
	host, err := b.device.HostAlloc(64)
	check(t, err)
	done, err := b.device.NewEvent(false)
	check(t, err)
	check(t, b.compute.Clear(p, 64))
	check(t, b.compute.Record(done))
	for _, waits := range []bool{false, true} {
		if waits {
			check(t, b.device.Copies.Wait(done))
		}
		check(t, b.device.Copies.ToHost(host, p))
		check(t, b.device.Copies.Sync())
		if cleared := host[0] == 0; cleared != waits {
			t.Errorf("a stream that waits for the other (%v) finds %#x", waits, host[0])
		}
	}
	check(t, errors.Join(b.device.Free(p), b.device.HostFree(host), done.Close()))
}
