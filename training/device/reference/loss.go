package reference

import (
	"math"

	"tempera/training/device"
)

// softmax is the distribution of a row, and the logarithm of its sum of exponentials.
func softmax(x []float64) (p []float64, logSum float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, v)
	}
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	logSum = top + math.Log(sum)
	p = make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(v - logSum)
	}
	return p, logSum
}

// CrossEntropy is part of device.Loss: each row's target becomes a distribution q, the loss is the sum of -q log softmax(x).
func (b *Backend) CrossEntropy(a device.CrossEntropyArgs) {
	logits, losses, gradients := b.of(a.Logits), b.of(a.RowLoss), b.of(a.DLogits)
	counted := 0
	for r := range a.Rows {
		if b.targetOf(a, r) != nil {
			counted++
		}
	}
	var total float64
	for r := range a.Rows {
		q, d := b.targetOf(a, r), rowOf(gradients, r, a.Classes)
		if q == nil {
			losses[r] = 0
			clear(d)
			continue
		}
		x := rowOf(logits, r, a.Classes)
		p, logSum := softmax(x)
		var loss, mass float64
		for c := range q {
			loss += q[c] * (logSum - x[c])
			mass += q[c]
		}
		losses[r] = loss
		total += loss
		for c := range d {
			d[c] = (mass*p[c] - q[c]) / float64(counted)
		}
	}
	b.of(a.Mean)[0] = total / math.Max(1, float64(counted))
}

// targetOf is the distribution that row r should have; nil where the row does not count.
func (b *Backend) targetOf(a device.CrossEntropyArgs, r int) []float64 {
	if a.SoftTargets != nil {
		return rowOf(b.of(a.SoftTargets), r, a.Classes)
	}
	t := int(b.of(a.Targets)[r])
	if t == device.IgnoreIndex {
		return nil
	}
	q := make([]float64, a.Classes)
	for c := range q {
		q[c] = float64(a.Smoothing) / float64(a.Classes)
	}
	q[t] += 1 - float64(a.Smoothing)
	return q
}

// SigLIP is part of device.Loss.
func (b *Backend) SigLIP(a device.SigLIPArgs) {
	logits, losses, gradients := b.of(a.Logits), b.of(a.RowLoss), b.of(a.DLogits)
	var total float64
	for r := range a.Rows {
		losses[r] = 0
		for c := range a.Rows {
			z := -1.0
			if c == r {
				z = 1
			}
			i := r*a.Rows + c
			v := z * logits[i]
			losses[r] += math.Max(-v, 0) + math.Log1p(math.Exp(-math.Abs(v)))
			if gradients != nil {
				gradients[i] = -z * sigmoid(-v) / float64(a.Rows)
			}
		}
		total += losses[r]
	}
	b.of(a.Mean)[0] = total / float64(a.Rows)
}

// Softmax is part of device.Loss.
func (b *Backend) Softmax(a device.SoftmaxArgs) {
	for r := range a.Rows {
		x, y := rowOf(b.of(a.X), r, a.Cols), rowOf(b.of(a.Y), r, a.Cols)
		p, logSum := softmax(x)
		for c := range y {
			if a.Log {
				y[c] = x[c] - logSum
			} else {
				y[c] = p[c]
			}
		}
	}
}

// MixTargets is part of device.Loss.
func (b *Backend) MixTargets(a device.MixTargetsArgs) {
	alpha := b.of(a.Alpha)[0]
	for r := range a.Rows {
		x, y := rowOf(b.of(a.Logits), r, a.Cols), rowOf(b.of(a.Y), r, a.Cols)
		p, _ := softmax(x)
		for c := range y {
			y[c] = alpha * p[c]
		}
		y[r] += 1 - alpha
	}
}

// SampleNegatives is part of device.Loss.
func (b *Backend) SampleNegatives(a device.SampleNegativesArgs) {
	uniform, index, groups := b.of(a.Uniform), b.of(a.Index), b.ints(a.Groups)
	for r := range a.B {
		p, _ := softmax(rowOf(b.of(a.Sim), r, a.B))
		alone := true // no column is of another group
		for c := range p {
			alone = alone && (groups == nil || groups[c] == groups[r])
		}
		var total float64
		for c := range p {
			p[c] += 1e-4
			if c == r || groups != nil && !alone && groups[c] == groups[r] {
				p[c] = 0
			}
			total += p[c]
		}
		index[r] = float64(draw(p, uniform[r]*total))
	}
}

// draw is the first index whose cumulative weight exceeds at, and never one of weight 0.
func draw(weights []float64, at float64) int {
	last, sum := 0, 0.0
	for i, w := range weights {
		if w > 0 {
			last = i
			sum += w
		}
		if sum > at {
			return i
		}
	}
	return last
}
