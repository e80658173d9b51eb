//go:build gpu

package blas

import (
	"os"
	"strings"
	"testing"

	"tempera/training/device/cuda/driver"
)

func open(t *testing.T) *driver.Device {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	d, err := driver.Open(0)
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMissingLibraryIsNamedWithItsRemedy(t *testing.T) {
	d := open(t)
	t.Setenv(environment, "/nowhere/libcublasLt.so")
	_, err := Open(d)
	if err == nil || !strings.Contains(err.Error(), "cuBLASLt is not to be found") || !strings.Contains(err.Error(), environment) ||
		!strings.Contains(err.Error(), "/nowhere/libcublasLt.so") {
		t.Fatalf("the error is %v", err)
	}
}

func TestAnotherLibraryIsRefused(t *testing.T) {
	d := open(t)
	t.Setenv(environment, "libc.so.6")
	if _, err := Open(d); err == nil || !strings.Contains(err.Error(), "cublasLt") {
		t.Fatalf("the error is %v", err)
	}
}

func TestAProductIsPlannedOnce(t *testing.T) {
	d := open(t)
	h, err := Open(d)
	check(t, err)
	defer func() { check(t, h.Close()) }()
	p, err := d.Alloc(4096)
	check(t, err)
	check(t, d.Compute.Clear(p, 4096))
	shape := Product{M: 8, N: 16, K: 8, Operands: Float32, Result: Float32, Compute: Exact}
	o := Operands{A: p, B: p + 1024, D: p + 2048, Alpha: 1}
	check(t, h.Multiply(shape, o))
	check(t, h.Multiply(shape, o))
	if len(h.plans) != 1 {
		t.Fatalf("%d plans for one product", len(h.plans))
	}
	o.D += 4
	check(t, h.Multiply(shape, o))
	shape.Epilogue = Bias
	o.Bias = p
	check(t, h.Multiply(shape, o))
	if len(h.plans) != 3 {
		t.Fatalf("%d plans for three products", len(h.plans))
	}
	check(t, d.Compute.Sync())
}
