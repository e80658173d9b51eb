package devicetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"tempera/training/device"
)

// lossTrials are of as few classes as one and of as many as a vocabulary has.
func lossTrials() []trial {
	ts := slices.Concat(crossTrials(9, 37, ""), pairTrials(9), negativeTrials())
	for c := 1; c <= 33; c += 4 {
		ts = append(ts, crossTrials(1, c, fmt.Sprintf("of %d classes", c))...)
	}
	for _, s := range [][2]int{{5, 512}, {2, 4104}, {3, 8193}, {2, 50257}, {1, 50304}, {700, 2}} {
		ts = append(ts, crossTrials(s[0], s[1], fmt.Sprintf("of %d rows of %d classes", s[0], s[1]))...)
	}
	return slices.Concat(ts, pairTrials(1), pairTrials(24), pairTrials(520))
}

// targetsOf are a class for each row, of which every third does not count.
func targetsOf(rows, classes int) operand {
	t := make([]int32, rows)
	for r := range t {
		t[r] = int32(r * (classes - 1) / max(1, rows-1))
		if r%3 == 2 {
			t[r] = device.IgnoreIndex
		}
	}
	return is(t...)
}

// far is a tensor of logits as far from 0 and from each other as those of trained models are.
func far(shape ...int) operand {
	return operand{shape: shape, stored: true, floats: func(r *rand.Rand) float64 { return 20 + 5*r.NormFloat64() }}
}

// shares is a tensor of activations in [0, 2/n).
func shares(n int, shape ...int) operand {
	return operand{shape: shape, stored: true, floats: func(r *rand.Rand) float64 { return 2 * r.Float64() / float64(n) }}
}

func crossTrials(n, c int, name string) []trial {
	none := make([]int32, n)
	for r := range none {
		none[r] = device.IgnoreIndex
	}
	cross := func(change func(a *device.CrossEntropyArgs, v []*device.Value)) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			a := device.CrossEntropyArgs{Rows: n, Classes: c, Logits: v[0], Targets: v[1], RowLoss: v[2], Mean: v[3], DLogits: v[4]}
			change(&a, v)
			b.CrossEntropy(a)
		}
	}
	same := func(*device.CrossEntropyArgs, []*device.Value) {}
	soft := func(a *device.CrossEntropyArgs, v []*device.Value) { a.Targets, a.SoftTargets = nil, v[1] }
	inPlace := func(a *device.CrossEntropyArgs, v []*device.Value) { a.Smoothing, a.DLogits = 0.1, v[0] }
	exact := shares(c, n, c)
	exact.stored = false
	// logits, targets, row losses, mean, gradient
	hard := []operand{a(n, c), targetsOf(n, c), f(n), f(1), a(n, c)}
	return []trial{
		{method: "CrossEntropy", name: name, values: hard, call: cross(same)},
		{method: "CrossEntropy", name: name + " of large logits", values: []operand{far(n, c), targetsOf(n, c), f(n), f(1), a(n, c)}, call: cross(same)},
		{method: "CrossEntropy", name: name + " with smoothing, in place", values: hard, call: cross(inPlace)},
		{method: "CrossEntropy", name: name + " without gradient", values: hard, call: cross(func(a *device.CrossEntropyArgs, _ []*device.Value) { a.DLogits = nil })},
		{method: "CrossEntropy", name: name + " where no row counts", values: []operand{a(n, c), is(none...), f(n), f(1), a(n, c)}, call: cross(inPlace)},
		{method: "CrossEntropy", name: name + " against distributions", values: []operand{a(n, c), shares(c, n, c), f(n), f(1), a(n, c)}, call: cross(soft)},
		{method: "CrossEntropy", name: name + " of large logits against exact distributions", values: []operand{far(n, c), exact, f(n), f(1), a(n, c)}, call: cross(soft)},
		{method: "Softmax", name: name, values: []operand{far(n, c), a(n, c)}, call: func(b device.Backend, v []*device.Value) {
			b.Softmax(device.SoftmaxArgs{Rows: n, Cols: c, X: v[0], Y: v[1]})
		}},
		{method: "Softmax", name: name + " as logarithms, in place", values: []operand{a(n, c)}, call: func(b device.Backend, v []*device.Value) {
			b.Softmax(device.SoftmaxArgs{Rows: n, Cols: c, X: v[0], Y: v[0], Log: true})
		}},
	}
}

// pairTrials are of n pairs, among twice as many columns where rows need not be all there is.
func pairTrials(n int) []trial {
	mix := func(b device.Backend, v []*device.Value) {
		b.MixTargets(device.MixTargetsArgs{Rows: n, Cols: 2 * n, Logits: v[0], Alpha: v[1], Y: v[2]})
	}
	name := fmt.Sprintf("of %d pairs", n)
	return []trial{
		{method: "SigLIP", name: name, values: []operand{a(n, n), f(n), f(1), a(n, n)}, call: func(b device.Backend, v []*device.Value) {
			b.SigLIP(device.SigLIPArgs{Rows: n, Logits: v[0], RowLoss: v[1], Mean: v[2], DLogits: v[3]})
		}},
		{method: "SigLIP", name: name + " without gradient", values: []operand{far(n, n), f(n), f(1)}, call: func(b device.Backend, v []*device.Value) {
			b.SigLIP(device.SigLIPArgs{Rows: n, Logits: v[0], RowLoss: v[1], Mean: v[2]})
		}},
		{method: "MixTargets", name: name, values: []operand{a(n, 2*n), scalar(0.4), a(n, 2*n)}, call: mix},
		{method: "MixTargets", name: name + ", exact", values: []operand{far(n, 2*n), scalar(0.4), f(n, 2*n)}, call: mix},
	}
}

func negativeTrials() []trial {
	sample := func(n int) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			b.SampleNegatives(device.SampleNegativesArgs{B: n, Sim: v[0], Uniform: v[1], Index: v[3]})
		}
	}
	grouped := func(n int) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			b.SampleNegatives(device.SampleNegativesArgs{B: n, Sim: v[0], Uniform: v[1], Groups: v[2], Index: v[3]})
		}
	}
	uniform := func(n int) operand {
		return operand{shape: []int{n}, floats: func(r *rand.Rand) float64 { return r.Float64() }}
	}
	var ts []trial
	for _, n := range []int{2, 6, 32, 33, 150} {
		groups, index, zero := make([]int32, n), make([]int32, n), scalar(0)
		for r := range groups {
			groups[r] = int32(r / 4)
		}
		zero.shape = []int{n}
		draws := []operand{a(n, n), uniform(n), is(groups...), is(index...)}
		name := fmt.Sprintf("of %d", n)
		ts = append(ts,
			trial{method: "SampleNegatives", name: name, values: draws, call: sample(n)},
			trial{method: "SampleNegatives", name: name + " of other groups", values: draws, call: grouped(n)},
			trial{method: "SampleNegatives", name: name + " of other groups, the first", values: []operand{a(n, n), zero, is(groups...), is(index...)}, call: grouped(n)},
			trial{method: "SampleNegatives", name: name + " where all are of one group", values: []operand{far(n, n), uniform(n), is(index...), is(index...)}, call: grouped(n)})
	}
	return ts
}
