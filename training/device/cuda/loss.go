//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// CrossEntropy is part of device.Loss. A target that is no class makes the loss NaN.
func (b *Backend) CrossEntropy(a device.CrossEntropyArgs) {
	t := activations(a.Logits, a.DLogits)
	perRow(a.Rows, a.RowLoss, a.Targets)
	if a.SoftTargets != nil {
		kernel, targets := "soft_cross_entropy", a.SoftTargets.Desc().DType
		if targets != t {
			kernel, targets = "exact_cross_entropy", device.Float32
		}
		c, g := b.rowKernel(kernel, t, a.Rows, a.Classes, a.Logits, a.DLogits, a.SoftTargets)
		c.value(a.DLogits, t).floats(a.RowLoss).value(a.SoftTargets, targets).rows(g)
		b.mean(a.Mean, a.RowLoss, 0)
		return
	}
	b.withWorkspace(device.WordBytes, func(counted driver.Pointer) {
		b.count(counted, a.Targets)
		c, g := b.rowKernel("cross_entropy", t, a.Rows, a.Classes, a.Logits, a.DLogits)
		c.value(a.DLogits, t).floats(a.RowLoss).ints(a.Targets).pointer(counted).f32(a.Smoothing).rows(g)
		b.mean(a.Mean, a.RowLoss, counted)
	})
}

// SigLIP is part of device.Loss.
func (b *Backend) SigLIP(a device.SigLIPArgs) {
	t := activations(a.Logits, a.DLogits)
	perRow(a.Rows, a.RowLoss)
	c, g := b.rowKernel("siglip", t, a.Rows, a.Rows, a.Logits, a.DLogits)
	c.value(a.DLogits, t).floats(a.RowLoss).rows(g)
	b.mean(a.Mean, a.RowLoss, 0)
}

// Softmax is part of device.Loss.
func (b *Backend) Softmax(a device.SoftmaxArgs) {
	t := activations(a.X, a.Y)
	c, g := b.rowKernel("softmax", t, a.Rows, a.Cols, a.X, a.Y)
	c.value(a.Y, t).flag(a.Log).rows(g)
}

// MixTargets is part of device.Loss.
func (b *Backend) MixTargets(a device.MixTargetsArgs) {
	t, y, kernel := a.Logits.Desc().DType, a.Y.Desc().DType, "mix_targets"
	if y != t {
		y, kernel = device.Float32, "exact_mix_targets"
	}
	c, g := b.rowKernel(kernel, t, a.Rows, a.Cols, a.Logits, a.Y)
	c.value(a.Y, y).floats(a.Alpha).rows(g)
}

// SampleNegatives is part of device.Loss.
func (b *Backend) SampleNegatives(a device.SampleNegativesArgs) {
	const warps = threads / 32
	t := activations(a.Sim)
	perRow(a.B, a.Uniform, a.Groups, a.Index)
	b.kernel("loss", "sample_negatives", t).ints(a.Index).value(a.Sim, t).floats(a.Uniform).ints(a.Groups).i32(a.B).
		launch(driver.Grid{X: (a.B + warps - 1) / warps, ThreadsX: threads})
}

// rowKernel begins a launch for rows of which the first value is read. The values are those that lie in rows.
func (b *Backend) rowKernel(kernel string, t device.DType, rows, cols int, vs ...*device.Value) (*call, groups) {
	g := b.groupsFor(rows, cols, t, vs...)
	return b.kernel("loss", kernel, t).value(vs[0], t).i64(rows).i32(cols).i32(g.warps).flag(g.even), g
}

// count leaves the number of targets that count.
func (b *Backend) count(counted driver.Pointer, targets *device.Value) {
	b.kernel("loss", "count_targets", single).pointer(counted).ints(targets).i64(targets.Size()).launch(driver.Grid{X: 1, ThreadsX: 1024})
}

// mean is that of the rows' losses over the rows that count; over all if counted is 0.
func (b *Backend) mean(mean, losses *device.Value, counted driver.Pointer) {
	b.kernel("loss", "mean_loss", single).floats(mean).floats(losses).pointer(counted).i64(losses.Size()).launch(driver.Grid{X: 1, ThreadsX: 1024})
}
