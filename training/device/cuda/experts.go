//go:build gpu

package cuda

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// plan is where the sections of a plan lie.
type plan struct{ ends, slots, rows, experts driver.Pointer }

func planOf(r device.Routing) plan {
	if r.Plan.Size() != r.PlanSize() {
		panic(fmt.Sprintf("cuda: the plan is %v, must be of %d elements", r.Plan, r.PlanSize()))
	}
	at := address(r.Plan, device.Int32)
	section := func(i int) driver.Pointer {
		return at + driver.Pointer(device.WordBytes*(r.Experts+1+i*r.Tokens*r.Active))
	}
	return plan{at, section(0), section(1), section(2)}
}

// routeWarps are the tokens of a block.
const routeWarps = 4

// Route is part of device.Experts.
func (b *Backend) Route(a device.RouteArgs) {
	p, n := planOf(a.Routing), a.Tokens*a.Active
	c := b.kernel("experts", "route", single).pointer(p.experts).floats(a.Logits).floats(a.Balance).i64(a.Tokens).i32(a.Active).i32(a.Experts)
	c.launch(driver.Grid{X: ceil(a.Tokens, routeWarps), ThreadsX: 32 * routeWarps, Shared: routeWarps * a.Experts * 8})
	var l layout
	spare, counts := l.part(n*device.WordBytes), l.part(orderBytes(n))
	b.withWorkspace(l.bytes, func(w driver.Pointer) { b.order(p.experts, p.slots, w+spare, w+counts, n, a.Experts) })
	b.kernel("experts", "route_groups", single).pointer(p.ends).pointer(p.rows).pointer(p.slots).pointer(p.experts).i64(n).i32(a.Experts).each(n)
}

// Gate is part of device.Experts.
func (b *Backend) Gate(a device.GateArgs) {
	c := b.kernel("experts", "gate", single).floats(a.Weights).floats(a.Logits).pointer(planOf(a.Routing).experts)
	c.f32(a.Scale).i64(a.Tokens).i32(a.Active).i32(a.Experts).each(a.Tokens)
}

// GateBackward is part of device.Experts.
func (b *Backend) GateBackward(a device.GateBackwardArgs) {
	c := b.kernel("experts", "gate_backward", single).floats(a.DLogits).floats(a.Logits).floats(a.DWeights).pointer(planOf(a.Routing).experts)
	c.f32(a.Scale).i64(a.Tokens).i32(a.Active).i32(a.Experts).flag(a.Accumulate).eachWarp(a.Tokens)
}

// Dispatch is part of device.Experts.
func (b *Backend) Dispatch(a device.DispatchArgs) {
	t, rows := activations(a.X, a.Y), a.Tokens*a.Active
	c := b.kernel("experts", "dispatch", t).value(a.Y, t).value(a.X, t).floats(a.Weights).pointer(planOf(a.Routing).slots)
	c.i64(rows).i32(a.Active).i64(a.Cols).eachPart(rows, a.Cols)
}

// Combine is part of device.Experts.
func (b *Backend) Combine(a device.CombineArgs) {
	t := activations(a.X, a.Y)
	c := b.kernel("experts", "combine", t).value(a.Y, t).value(a.X, t).floats(a.Weights).pointer(planOf(a.Routing).rows)
	c.i64(a.Tokens).i32(a.Active).i64(a.Cols).flag(a.Accumulate).eachPart(a.Tokens, a.Cols)
}

// CombineDot is part of device.Experts.
func (b *Backend) CombineDot(a device.CombineDotArgs) {
	t, slots := activations(a.X, a.DY), a.Tokens*a.Active
	c := b.kernel("experts", "combine_dot", t).floats(a.DWeights).value(a.X, t).value(a.DY, t).pointer(planOf(a.Routing).rows)
	c.i64(slots).i32(a.Active).i64(a.Cols).flag(a.Accumulate).eachWarp(slots)
}
