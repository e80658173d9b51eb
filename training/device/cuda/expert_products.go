//go:build gpu

package cuda

import (
	"errors"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// ExpertGemm is part of device.Experts.
func (b *Backend) ExpertGemm(a device.ExpertGemmArgs) {
	rows := a.Tokens * a.Active
	fitting("ExpertGemm", extent{"A", a.A, rows * a.K}, extent{"B", a.B, a.Experts * a.K * a.N}, extent{"C", a.C, rows * a.N},
		extent{"Plan", a.Plan, a.PlanSize()})
	if rows*a.N == 0 {
		return
	}
	p := b.products
	p.mu.Lock()
	defer p.mu.Unlock()
	x, err := p.operand(a.A, spareA)
	w, err2 := p.operand(a.B, spareB)
	if err := errors.Join(err, err2); err != nil {
		b.fail(err)
		return
	}
	t, result := b.operands(), a.C.Desc().DType
	most := (rows+tileSide-1)/tileSide + a.Experts // each expert may leave a part of a tile
	tiles := most * ((a.N + tileSide - 1) / tileSide)
	b.kernel("expert_products", "expert_gemm", t).ints(a.Plan).i32(a.Experts).pointer(x).pointer(w).value(a.C, result).i64(a.N).i64(a.K).
		flag(a.TransB).flag(a.Accumulate).flag(result == device.Float32).launch(tiled(tiles, t, driver.Grid{}))
}

// ExpertGrad is part of device.Experts.
func (b *Backend) ExpertGrad(a device.ExpertGradArgs) {
	rows := a.Tokens * a.Active
	fitting("ExpertGrad", extent{"A", a.A, rows * a.K}, extent{"DC", a.DC, rows * a.N}, extent{"DB", a.DB, a.Experts * a.K * a.N},
		extent{"Plan", a.Plan, a.PlanSize()})
	if rows*a.K*a.N == 0 {
		return
	}
	p := b.products
	p.mu.Lock()
	defer p.mu.Unlock()
	x, err := p.operand(a.A, spareA)
	d, err2 := p.operand(a.DC, spareB)
	if err := errors.Join(err, err2); err != nil {
		b.fail(err)
		return
	}
	t := b.operands()
	tiles := ((a.K + tileSide - 1) / tileSide) * ((a.N + tileSide - 1) / tileSide)
	b.kernel("expert_products", "expert_grad", t).ints(a.Plan).pointer(x).pointer(d).floats(a.DB).i64(a.N).i64(a.K).
		launch(tiled(tiles, t, driver.Grid{Y: a.Experts}))
}
