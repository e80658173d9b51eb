package reference

import "tempera/training/device"

// divergence visits the rows that count with the logarithms of both distributions; dlogits is where the student's logits were.
func (b *Backend) divergence(a device.HeadDivergenceArgs, visit func(r int, p, q, logP, logQ, dlogits []float64)) (student *device.Value, counted int, free func()) {
	s, freeStudent := b.whole(a.Student)
	t, freeTeacher := b.whole(a.Teacher)
	x, y, v := b.of(s), b.of(t), a.Student.Classes
	for r, target := range b.ints(a.Student.Targets) {
		row := rowOf(x, r, v)
		if target == device.IgnoreIndex {
			clear(row)
			continue
		}
		counted++
		logs := func(z []float64) (p, logP []float64) {
			logP = tempered(z, a.Temperature)
			p, logSum := softmax(logP)
			for i := range logP {
				logP[i] -= logSum
			}
			return p, logP
		}
		p, logP := logs(row)
		q, logQ := logs(rowOf(y, r, v))
		visit(r, p, q, logP, logQ, row)
	}
	return s, counted, func() { freeStudent(); freeTeacher() }
}

// HeadDivergence is part of device.Head.
func (b *Backend) HeadDivergence(a device.HeadDivergenceArgs) {
	losses, total := b.of(a.RowLoss), 0.0
	clear(losses)
	_, counted, free := b.divergence(a, func(r int, _, q, logP, logQ, _ []float64) {
		for i := range q {
			losses[r] += q[i] * (logQ[i] - logP[i])
		}
		total += losses[r]
	})
	free()
	b.of(a.Mean)[0] = total / max(1, float64(counted))
}

// HeadDivergenceBackward is part of device.Head.
func (b *Backend) HeadDivergenceBackward(a device.HeadDivergenceBackwardArgs) {
	d, counted, free := b.divergence(a.Forward, func(_ int, p, q, _, _, dlogits []float64) {
		for i := range dlogits {
			dlogits[i] = b.of(a.DMean)[0] * (p[i] - q[i]) / float64(a.Forward.Temperature)
		}
	})
	defer free()
	all := b.of(d)
	for i := range all {
		all[i] /= max(1, float64(counted))
	}
	b.headGradients(a.Forward.Student, a.HeadGradients, d)
}
