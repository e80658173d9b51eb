//go:build gpu

package blas

/*
#include <stdlib.h>
#include "lt.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"unsafe"

	"tempera/training/device/cuda/driver"
)

// Handle is the library on one device. Products are asked for on the device's compute stream; methods may be called from several goroutines.
type Handle struct {
	Path    string // the library's file
	Version int    // 120805 is 12.8.5

	device    *driver.Device
	library   *C.blas_library
	workspace driver.Pointer

	mu    sync.Mutex
	plans map[key]*plan
}

// workspaceBytes is what an algorithm may use. It does not change, so that the choice of algorithms does not. NVIDIA recommends 32 MiB for
// compute capability 9.0.
const workspaceBytes = 32 << 20

// Type is a type of elements: cudaDataType.
type Type int

// The types.
const (
	Float32  Type = 0
	BFloat16 Type = 14
)

// Compute says how operands are multiplied: cublasComputeType_t. Sums are float32.
type Compute int

// The ways.
const (
	Exact Compute = 68 // operands of float32 or bfloat16, as they are
	TF32  Compute = 77 // float32 operands are rounded to ten bits of mantissa
)

// Epilogue is what happens to a sum before it is stored: cublasLtEpilogue_t.
type Epilogue int

// The epilogues, which can be joined. GELU is the tanh form; Auxiliary stores what it is of.
const (
	none      Epilogue = 1
	Bias      Epilogue = 4
	GELU      Epilogue = 32
	Auxiliary Epilogue = 128
)

// Product is D = epilogue(Alpha op(A) op(B) + Beta C): op(A) is M x K, stored K x M with TransA, op(B) is K x N, stored N x K with TransB. Matrices are dense
// and row-major. A batch is as many products, matrices following one another; 0 means 1.
type Product struct {
	M, N, K, Batch   int
	TransA, TransB   bool
	Operands, Result Type // A and B; C and D, the bias and the auxiliary
	Compute          Compute
	Epilogue         Epilogue // 0 means none
}

// Operands are the addresses. C 0 means D. Bias has N elements, Auxiliary is M x N.
type Operands struct {
	A, B, C, D, Bias, Auxiliary driver.Pointer
	Alpha, Beta                 float32
}

// alignment is how many bytes divide all addresses, at most 16: no algorithm needs more.
func (o Operands) alignment() int {
	all := o.A | o.B | o.C | o.D | o.Bias | o.Auxiliary | 16
	return 1 << bits.TrailingZeros64(uint64(all))
}

// key is what an algorithm is chosen by.
type key struct {
	Product
	alignment int
}

// plan is a product that is ready to be asked for; nil if the library has no algorithm.
type plan C.blas_plan

// ErrUnsupported is the error of a product that the library has no algorithm for.
var ErrUnsupported = errors.New("cuBLASLt has no algorithm")

// Multiply asks for a product. With ErrUnsupported nothing has been asked for.
func (h *Handle) Multiply(p Product, o Operands) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.C == 0 {
		o.C = o.D
	}
	plan, err := h.plan(key{p, o.alignment()})
	if err != nil {
		return err
	}
	if plan == nil {
		return ErrUnsupported
	}
	c := C.blas_operands{
		a: C.uint64_t(o.A), b: C.uint64_t(o.B), c: C.uint64_t(o.C), d: C.uint64_t(o.D), bias: C.uint64_t(o.Bias), auxiliary: C.uint64_t(o.Auxiliary),
		alpha: C.float(o.Alpha), beta: C.float(o.Beta),
	}
	return p.failed(C.blas_multiply(h.library, (*C.blas_plan)(plan), &c, C.uint64_t(h.workspace), workspaceBytes, h.device.Compute.Handle()))
}

func (h *Handle) plan(k key) (*plan, error) {
	if p, ok := h.plans[k]; ok {
		return p, nil
	}
	flag := func(on bool) C.int {
		if on {
			return 1
		}
		return 0
	}
	of := C.blas_product{
		m: C.int64_t(k.M), n: C.int64_t(k.N), k: C.int64_t(k.K), batch: C.int64_t(max(1, k.Batch)), transpose_a: flag(k.TransA), transpose_b: flag(k.TransB),
		operands: C.int(k.Operands), result: C.int(k.Result), compute: C.int(k.Compute), epilogue: C.int(max(none, k.Epilogue)), alignment: C.int(k.alignment),
	}
	p := (*C.blas_plan)(C.calloc(1, C.sizeof_blas_plan))
	r := C.blas_prepare(h.library, p, &of, workspaceBytes)
	if r != 0 {
		C.free(unsafe.Pointer(p))
		p = nil
	}
	if r != 0 && r != notSupported {
		return nil, k.failed(r)
	}
	h.plans[k] = (*plan)(p)
	return h.plans[k], nil
}

func (p Product) failed(r C.int) error {
	if r == 0 {
		return nil
	}
	return failed(fmt.Sprintf("product %+v", p), r)
}

// Close forgets the plans and gives the handle back, after all work.
func (h *Handle) Close() error {
	for _, p := range h.plans {
		if p != nil {
			C.blas_forget(h.library, (*C.blas_plan)(p))
			C.free(unsafe.Pointer(p))
		}
	}
	err := failed("close", C.blas_close(h.library))
	C.free(unsafe.Pointer(h.library))
	if h.workspace != 0 {
		err = errors.Join(err, h.device.Free(h.workspace))
	}
	return err
}
