//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// HeadCrossEntropy is part of device.Head. A target that is no class makes the loss NaN.
func (b *Backend) HeadCrossEntropy(a device.HeadCrossEntropyArgs) {
	perRow(a.Rows, a.Targets, a.RowLoss, a.LogSumExp)
	b.head(a.HeadInput, forwards, func(h *head) {
		h.blocks(func(r span) {
			z := h.logits(a.HeadInput, r)
			h.parts("head_cross_entropy", r).floats(z).pointer(r.of(a.Targets)).flag(a.Smoothing != 0).launch(h.wide(r))
			h.parts("head_cross_entropy_end", r).floats(z).pointer(r.of(a.Targets)).f32(a.Smoothing).pointer(r.of(a.RowLoss)).pointer(r.of(a.LogSumExp)).
				launch(h.narrow(r))
		})
		b.mean(a.Mean, a.RowLoss, h.counted)
	})
}

// HeadCrossEntropyBackward is part of device.Head.
func (b *Backend) HeadCrossEntropyBackward(a device.HeadCrossEntropyBackwardArgs) {
	f := a.Forward
	perRow(f.Rows, f.Targets, f.LogSumExp)
	b.head(f.HeadInput, backwards, func(h *head) {
		h.blocks(func(r span) {
			z := h.logits(f.HeadInput, r)
			d := h.gradient(z)
			h.kernel("head_cross_entropy_backward", h.t, r).value(d, h.t).floats(z).pointer(r.of(f.Targets)).pointer(r.of(f.LogSumExp)).f32(f.Smoothing).
				floats(a.DMean).pointer(h.counted).launch(h.wide(r))
			h.add(a.HeadGradients, r, d)
		})
	})
}

// HeadLogProbs is part of device.Head.
func (b *Backend) HeadLogProbs(a device.HeadLogProbsArgs) {
	perRow(a.Rows, a.Targets, a.LogSumExp)
	b.head(a.HeadInput, forwards, func(h *head) {
		h.blocks(func(r span) {
			z := h.logits(a.HeadInput, r)
			h.parts("head_log_probs", r).floats(z).pointer(r.of(a.Targets)).f32(1 / a.Temperature).launch(h.wide(r))
			h.parts("head_log_probs_end", r).floats(z).pointer(r.of(a.Targets)).f32(1 / a.Temperature).pointer(r.of(a.Y)).pointer(r.of(a.LogSumExp)).
				launch(h.narrow(r))
		})
	})
}

// HeadLogProbsBackward is part of device.Head.
func (b *Backend) HeadLogProbsBackward(a device.HeadLogProbsBackwardArgs) {
	f := a.Forward
	perRow(f.Rows, f.Targets, f.LogSumExp)
	perRow(2*f.Rows, f.Y, a.DY)
	b.head(f.HeadInput, backwards, func(h *head) {
		h.blocks(func(r span) {
			z := h.logits(f.HeadInput, r)
			d := h.gradient(z)
			h.kernel("head_log_probs_backward", h.t, r).value(d, h.t).floats(z).pointer(r.of(f.Targets)).pointer(r.of(f.LogSumExp)).f32(1 / f.Temperature).
				pointer(r.of(f.Y)).pointer(r.of(a.DY)).launch(h.wide(r))
			h.add(a.HeadGradients, r, d)
		})
	})
}

// HeadDivergence is part of device.Head.
func (b *Backend) HeadDivergence(a device.HeadDivergenceArgs) {
	perRow(a.Student.Rows, a.Student.Targets, a.RowLoss)
	b.head(a.Student, forwards, func(h *head) {
		h.blocks(func(r span) { h.divergence(a, r, r.of(a.RowLoss)) })
		b.mean(a.Mean, a.RowLoss, h.counted)
	})
}

// divergence leaves the rows' losses, where they are asked for, the logarithms of the sums of both, and the logits.
func (h *head) divergence(a device.HeadDivergenceArgs, r span, losses driver.Pointer) (student, teacher *device.Value) {
	student, teacher = h.logits(a.Student, r), h.logits(a.Teacher, r)
	targets := r.of(a.Student.Targets)
	h.parts("head_divergence", r).floats(student).floats(teacher).pointer(targets).f32(1 / a.Temperature).launch(h.wide(r))
	h.parts("head_divergence_end", r).pointer(targets).pointer(losses).pointer(h.logSums).launch(h.narrow(r))
	return student, teacher
}

// HeadDivergenceBackward is part of device.Head.
func (b *Backend) HeadDivergenceBackward(a device.HeadDivergenceBackwardArgs) {
	f := a.Forward
	perRow(f.Student.Rows, f.Student.Targets)
	b.head(f.Student, backwards, func(h *head) {
		h.blocks(func(r span) {
			student, teacher := h.divergence(f, r, 0)
			d := h.gradient(student)
			h.kernel("head_divergence_backward", h.t, r).value(d, h.t).floats(student).floats(teacher).pointer(r.of(f.Student.Targets)).pointer(h.logSums).
				f32(1 / f.Temperature).floats(a.DMean).pointer(h.counted).launch(h.wide(r))
			h.add(a.HeadGradients, r, d)
		})
	})
}
