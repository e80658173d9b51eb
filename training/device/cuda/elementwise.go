//go:build gpu

package cuda

import "tempera/training/device"

// Add is part of device.Elementwise.
func (b *Backend) Add(dst, x, y *device.Value) {
	t := activations(dst, x, y)
	b.kernel("elementwise", "add", t).value(dst, t).value(x, t).value(y, t).i64(same("Add", dst, x, y)).each(dst.Size())
}

// Scale is part of device.Elementwise.
func (b *Backend) Scale(dst, x *device.Value, alpha float32) {
	t := activations(dst, x)
	b.kernel("elementwise", "scale", t).value(dst, t).value(x, t).f32(alpha).i64(same("Scale", dst, x)).each(dst.Size())
}

// Axpy is part of device.Elementwise.
func (b *Backend) Axpy(dst, x *device.Value, alpha float32) {
	t := activations(dst, x)
	b.kernel("elementwise", "axpy", t).value(dst, t).value(x, t).f32(alpha).i64(same("Axpy", dst, x)).each(dst.Size())
}
