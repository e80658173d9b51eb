package devicetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"tempera/training/device"
)

// headShape is that of a head's trials, of which `held` rows of logits exist at a time.
type headShape struct {
	rows, width, classes, held int
	transposed, none           bool // none: no row counts
}

func (s headShape) String() string {
	name := fmt.Sprintf("of %d rows of width %d and %d classes, %d at a time", s.rows, s.width, s.classes, s.held)
	if s.transposed {
		name += ", of a tied weight"
	}
	if s.none {
		name += ", none of which counts"
	}
	return name
}

func headShapes() []headShape {
	return []headShape{
		{rows: 9, width: 11, classes: 37, held: 2},
		{rows: 9, width: 11, classes: 37, held: 2, transposed: true},
		{rows: 9, width: 11, classes: 37, held: 3},
		{rows: 9, width: 8, classes: 36, held: 5, transposed: true},
		{rows: 4, width: 8, classes: 36, held: 3, none: true},
		{rows: 1, width: 1, classes: 1, held: 1},
		{rows: 1, width: 6, classes: 2, held: 4},
		{rows: 3, width: 5, classes: 33, held: 3, transposed: true},
		{rows: 3, width: 2, classes: 7, held: 1},
		{rows: 150, width: 2, classes: 5, held: 140},
		{rows: 3, width: 2, classes: 4104, held: 2},
		{rows: 3, width: 2, classes: 4101, held: 2, transposed: true},
	}
}

func (s headShape) targets() operand {
	t := targetsOf(s.rows, s.classes)
	if s.none {
		for r := range t.ints {
			t.ints[r] = device.IgnoreIndex
		}
	}
	return t
}

func (s headShape) weight(width int, transposed bool) operand {
	if transposed {
		return f(s.classes, width)
	}
	return f(width, s.classes)
}

// logits are scratch.
func (s headShape) logits(b device.Backend) *device.Value {
	v, err := device.New(b, device.Floats(s.held, s.classes))
	if err != nil {
		panic(err)
	}
	return v
}

func (s headShape) input(b device.Backend, v []*device.Value) device.HeadInput {
	return device.HeadInput{
		Rows: s.rows, Width: s.width, Classes: s.classes, X: v[0], W: v[1], Bias: v[2], Targets: v[3], TransW: s.transposed, Logits: s.logits(b),
	}
}

func (s headShape) gradients(v []*device.Value) device.HeadGradients {
	return device.HeadGradients{DX: v[0], DW: v[1], DBias: v[2], Accumulate: s.transposed}
}

// biases are far from 0, as the logits are then.
func biases(n int) operand {
	return operand{shape: []int{n}, floats: func(r *rand.Rand) float64 { return 12 + r.NormFloat64() }}
}

func headTrials() []trial {
	var ts []trial
	for _, s := range headShapes() {
		ts = append(ts, s.trials()...)
	}
	return ts
}

func (s headShape) trials() []trial {
	n := s.rows
	head := []operand{a(n, s.width), s.weight(s.width, s.transposed), biases(s.classes)}
	losses := slices.Concat(head, []operand{s.targets(), f(n), f(n), f(1)})
	values := slices.Concat(head, []operand{s.targets(), f(n, 2), f(n), f(n, 2)})
	cross := func(b device.Backend, v []*device.Value) device.HeadCrossEntropyArgs {
		a := device.HeadCrossEntropyArgs{HeadInput: s.input(b, v), RowLoss: v[4], LogSumExp: v[5], Mean: v[6]}
		if s.transposed {
			a.Smoothing = 0.1
		}
		b.HeadCrossEntropy(a)
		return a
	}
	logProbs := func(b device.Backend, v []*device.Value) device.HeadLogProbsArgs {
		a := device.HeadLogProbsArgs{HeadInput: s.input(b, v), Temperature: 0.7, Y: v[4], LogSumExp: v[5]}
		b.HeadLogProbs(a)
		return a
	}
	name := s.String()
	return []trial{
		{method: "HeadCrossEntropy", name: name, values: losses, call: func(b device.Backend, v []*device.Value) { cross(b, v) }},
		{method: "HeadCrossEntropyBackward", name: name, values: slices.Concat(losses, []operand{scalar(0.7)}, head), call: func(b device.Backend, v []*device.Value) {
			b.HeadCrossEntropyBackward(device.HeadCrossEntropyBackwardArgs{Forward: cross(b, v), DMean: v[7], HeadGradients: s.gradients(v[8:])})
		}},
		{method: "HeadCrossEntropyBackward", name: name + ", of the states alone", values: slices.Concat(losses, []operand{scalar(0.7)}, head), call: func(b device.Backend, v []*device.Value) {
			b.HeadCrossEntropyBackward(device.HeadCrossEntropyBackwardArgs{Forward: cross(b, v), DMean: v[7], HeadGradients: device.HeadGradients{DX: v[8]}})
		}},
		{method: "HeadLogProbs", name: name, values: values, call: func(b device.Backend, v []*device.Value) { logProbs(b, v) }},
		{method: "HeadLogProbsBackward", name: name, values: slices.Concat(values, head), call: func(b device.Backend, v []*device.Value) {
			b.HeadLogProbsBackward(device.HeadLogProbsBackwardArgs{Forward: logProbs(b, v), DY: v[6], HeadGradients: s.gradients(v[7:])})
		}},
		{method: "HeadLogProbsBackward", name: name + ", without entropy", values: slices.Concat(values, head), call: func(b device.Backend, v []*device.Value) {
			a := logProbs(b, v)
			dy := make([]float32, 2*n)
			for i := 0; i < len(dy); i += 2 {
				dy[i] = float32(i) - 7
			}
			if err := b.UploadFloats(v[6], dy); err != nil {
				panic(err)
			}
			b.HeadLogProbsBackward(device.HeadLogProbsBackwardArgs{Forward: a, DY: v[6], HeadGradients: s.gradients(v[7:])})
		}},
	}
}

// divergenceTrials compare a head with a teacher's of width 7, whose weight is tied where the student's is not.
func divergenceTrials() []trial {
	const wide = 7
	var ts []trial
	for _, s := range headShapes() {
		args := func(b device.Backend, v []*device.Value) device.HeadDivergenceArgs {
			a := device.HeadDivergenceArgs{Student: s.input(b, v), Temperature: 1.5, RowLoss: v[6], Mean: v[7]}
			a.Teacher = device.HeadInput{Rows: s.rows, Width: wide, Classes: s.classes, X: v[4], W: v[5], TransW: !s.transposed, Logits: s.logits(b)}
			b.HeadDivergence(a)
			return a
		}
		head := []operand{a(s.rows, s.width), s.weight(s.width, s.transposed), biases(s.classes)}
		values := slices.Concat(head, []operand{s.targets(), a(s.rows, wide), s.weight(wide, !s.transposed), f(s.rows), f(1)})
		ts = append(ts,
			trial{method: "HeadDivergence", name: s.String(), values: values, call: func(b device.Backend, v []*device.Value) { args(b, v) }},
			trial{method: "HeadDivergenceBackward", name: s.String(), values: slices.Concat(values, []operand{scalar(0.7)}, head), call: func(b device.Backend, v []*device.Value) {
				b.HeadDivergenceBackward(device.HeadDivergenceBackwardArgs{Forward: args(b, v), DMean: v[8], HeadGradients: s.gradients(v[9:])})
			}})
	}
	return ts
}
