package device_test

import (
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"tempera/training/device"
	"tempera/training/kernel"
)

func newCPU(t *testing.T, h device.Heap) *device.CPU {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	check(t, err)
	t.Cleanup(e.Close)
	return device.NewCPUOn(e, h)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func onHeaps(t *testing.T, test func(t *testing.T, b device.Backend)) {
	t.Run("on the host heap", func(t *testing.T) { test(t, newCPU(t, device.HostHeap())) })
	t.Run("on memory that the host cannot address", func(t *testing.T) { test(t, newCPU(t, device.OpaqueHeap())) })
}

func TestValuesKeepWhatIsUploaded(t *testing.T) {
	onHeaps(t, func(t *testing.T, b device.Backend) {
		buffer, err := b.Alloc(40)
		check(t, err)
		floats := device.NewValue(device.Floats(2, 3), buffer, 16)
		ints := device.NewValue(device.Ints(4), buffer, 32)
		check(t, b.UploadFloats(floats, []float32{1, 2, 3, 4, 5, 6}))
		check(t, b.UploadInts(ints, []int32{-1, 2, -3, 1 << 30}))
		gotF, err := device.ReadFloats(b, floats.View(device.Floats(6)))
		check(t, err)
		gotI, err := device.ReadInts(b, ints)
		check(t, err)
		if !slices.Equal(gotF, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(gotI, []int32{-1, 2, -3, 1 << 30}) {
			t.Fatalf("got %v and %v", gotF, gotI)
		}
		b.Zero(floats)
		if gotF, err = device.ReadFloats(b, floats); err != nil || !slices.Equal(gotF, make([]float32, 6)) {
			t.Fatalf("after Zero: %v, %v", gotF, err)
		}
		if gotI, err = device.ReadInts(b, ints); err != nil || gotI[3] != 1<<30 {
			t.Fatalf("a neighbour of a cleared value is %v, %v", gotI, err)
		}
	})
}

func TestTransfersOfAnotherSizeOrTypeAreErrors(t *testing.T) {
	onHeaps(t, func(t *testing.T, b device.Backend) {
		floats, err := device.New(b, device.Floats(2))
		check(t, err)
		for name, err := range map[string]error{
			"too many floats":        b.UploadFloats(floats, make([]float32, 3)),
			"integers to floats":     b.UploadInts(floats, make([]int32, 2)),
			"floats read as ints":    b.DownloadInts(make([]int32, 2), floats),
			"too few floats to read": b.DownloadFloats(make([]float32, 1), floats),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}

func TestMemoryIsAlignedToCacheLines(t *testing.T) {
	b := newCPU(t, device.HostHeap())
	for words := 1; words < 100; words += 7 {
		buffer, err := b.Alloc(words)
		check(t, err)
		if buffer.Address()%64 != 0 || buffer.Words() != words {
			t.Fatalf("%d words at %#x, asked for %d", buffer.Words(), buffer.Address(), words)
		}
	}
}

func TestFreedHandlesCannotBeUsed(t *testing.T) {
	b := newCPU(t, device.OpaqueHeap())
	v, err := device.New(b, device.Floats(2))
	check(t, err)
	check(t, b.Free(v.Buffer()))
	if err := b.Free(v.Buffer()); err == nil {
		t.Error("freeing twice is no error")
	}
	defer func() {
		if recover() == nil {
			t.Error("a freed value can be read")
		}
	}()
	b.Zero(v)
}

func TestScalarsAndVectorsAreToldApart(t *testing.T) {
	scalar, vector := device.Floats(), device.Floats(1)
	if scalar.Size() != 1 || scalar.Rows() != 1 || scalar.Cols() != 1 || vector.Rank() != 1 {
		t.Fatalf("scalar %v, vector %v", scalar, vector)
	}
	if scalar.Type() != tensor.Float32 || scalar.Type() == vector.Type() {
		t.Fatalf("gorgonia sees %v and %v", scalar.Type(), vector.Type())
	}
	if d := device.Ints(2, 3, 4); d.Rows() != 6 || d.Cols() != 4 || d.Size() != 24 {
		t.Fatalf("%v has %d rows of %d", d, d.Rows(), d.Cols())
	}
}

func TestSumsAndClampsOfValues(t *testing.T) {
	onHeaps(t, func(t *testing.T, b device.Backend) {
		x, err := device.FromFloats(b, []float32{-3, 1, 4}, 3)
		check(t, err)
		y, err := device.FromFloats(b, []float32{2}, 1)
		check(t, err)
		sum, err := b.SumSquares([]*device.Value{x, y})
		check(t, err)
		if sum != 30 {
			t.Errorf("sum of squares %g, want 30", sum)
		}
		b.Clamp(x, -1, 2)
		b.EMA(y, y, 0.25)
		got, err := device.ReadFloats(b, x)
		check(t, err)
		if !slices.Equal(got, []float32{-1, 1, 2}) {
			t.Errorf("clamped to %v", got)
		}
	})
}
