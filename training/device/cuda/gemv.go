//go:build gpu

package cuda

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// Of products of a few rows: the most, the threads of a block, the columns that one has, and what k is divided by among blocks.
const (
	gemvRows   = 4
	gemvStrip  = 256
	gemvSpan   = 64
	mostStrips = 4096 // of a matrix: tickets that there are
)

// gemvTakes tells whether a product of bfloat16 reads the matrix for a few rows only, and lies as the kernel reads it.
func gemvTakes(a device.GemmArgs, x, w driver.Pointer) bool {
	return a.M <= gemvRows && !a.TransA && a.Pre == nil && a.K > 0 && a.N%8 == 0 && a.K%8 == 0 && x%16 == 0 && w%16 == 0 && a.N <= mostStrips*gemvStrip
}

// gemv asks for a product of a few rows, with all that follows it.
func (p *products) gemv(a device.GemmArgs, x, w driver.Pointer) error {
	t := a.C.Desc().DType
	rows := 1
	for rows < a.M {
		rows *= 2
	}
	c := func(kernel string) *call {
		return p.b.kernel("gemv", fmt.Sprintf("%s_%d", kernel, rows), t).value(a.C, t).floats(a.Bias).pointer(readingOr0(a.Residual, t)).
			flag(a.Accumulate).i32(int(a.Activation)).pointer(x).pointer(w)
	}
	if a.TransB {
		c("gemv_turned").i32(a.M).i64(a.N).i64(a.K).launch(driver.Grid{X: ceil(a.N, threads/32), ThreadsX: threads})
		return nil
	}
	strips := ceil(a.N, gemvStrip)
	span := max(gemvSpan, ceil(ceil(a.K, ceil(2*p.b.device.Processors, strips)), gemvSpan)*gemvSpan)
	splits := ceil(a.K, span)
	partial, err := p.spare(spareWork, 4*splits*a.M*a.N)
	if err != nil {
		return err
	}
	c("gemv").pointer(partial).pointer(p.tickets).i32(a.M).i64(a.N).i64(a.K).i64(span).launch(driver.Grid{X: strips, Y: splits, ThreadsX: threads})
	return nil
}

func readingOr0(v *device.Value, t device.DType) driver.Pointer {
	if v == nil {
		return 0
	}
	return reading(v, t)
}
