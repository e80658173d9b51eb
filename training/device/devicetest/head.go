package devicetest

import "tempera/training/device"

// headTrials keep two rows of logits at a time.
func headTrials() []trial {
	const n, c, classes = 9, 11, 37
	targets := is(3, 0, device.IgnoreIndex, 36, 5, 5, device.IgnoreIndex, 1, 2)
	input := func(b device.Backend, v []*device.Value, transposed bool) device.HeadInput {
		logits, err := device.New(b, device.Floats(2, classes))
		if err != nil {
			panic(err)
		}
		return device.HeadInput{Rows: n, Width: c, Classes: classes, X: v[0], W: v[1], Bias: v[2], Targets: v[3], TransW: transposed, Logits: logits}
	}
	var ts []trial
	for name, transposed := range map[string]bool{"": false, "of a tied weight": true} {
		w := f(c, classes)
		if transposed {
			w = f(classes, c)
		}
		cross := func(b device.Backend, v []*device.Value) device.HeadCrossEntropyArgs {
			a := device.HeadCrossEntropyArgs{HeadInput: input(b, v, transposed), Smoothing: 0.1, RowLoss: v[4], LogSumExp: v[5], Mean: v[6]}
			b.HeadCrossEntropy(a)
			return a
		}
		logProbs := func(b device.Backend, v []*device.Value) device.HeadLogProbsArgs {
			a := device.HeadLogProbsArgs{HeadInput: input(b, v, transposed), Temperature: 0.7, Y: v[4], LogSumExp: v[5]}
			b.HeadLogProbs(a)
			return a
		}
		gradients := func(v []*device.Value) device.HeadGradients {
			return device.HeadGradients{DX: v[0], DW: v[1], DBias: v[2], Accumulate: transposed}
		}
		losses := []operand{f(n, c), w, f(classes), targets, f(n), f(n), f(1)}
		values := []operand{f(n, c), w, f(classes), targets, f(n, 2), f(n), f(n, 2)}
		more := []operand{f(n, c), w, f(classes)}
		ts = append(ts,
			trial{method: "HeadCrossEntropy", name: name, values: losses, call: func(b device.Backend, v []*device.Value) { cross(b, v) }},
			trial{method: "HeadCrossEntropyBackward", name: name, values: append(append(losses, scalar(0.7)), more...), call: func(b device.Backend, v []*device.Value) {
				b.HeadCrossEntropyBackward(device.HeadCrossEntropyBackwardArgs{Forward: cross(b, v), DMean: v[7], HeadGradients: gradients(v[8:])})
			}},
			trial{method: "HeadLogProbs", name: name, values: values, call: func(b device.Backend, v []*device.Value) { logProbs(b, v) }},
			trial{method: "HeadLogProbsBackward", name: name, values: append(values, more...), call: func(b device.Backend, v []*device.Value) {
				b.HeadLogProbsBackward(device.HeadLogProbsBackwardArgs{Forward: logProbs(b, v), DY: v[6], HeadGradients: gradients(v[7:])})
			}},
			trial{method: "HeadLogProbsBackward", name: "without entropy " + name, values: append(values, more...), call: func(b device.Backend, v []*device.Value) {
				a := logProbs(b, v)
				dy := make([]float32, 2*n)
				for i := 0; i < len(dy); i += 2 {
					dy[i] = float32(i) - 7
				}
				if err := b.UploadFloats(v[6], dy); err != nil {
					panic(err)
				}
				b.HeadLogProbsBackward(device.HeadLogProbsBackwardArgs{Forward: a, DY: v[6], HeadGradients: gradients(v[7:])})
			}})
	}
	return ts
}

// divergenceTrials compare a head of width 11 with a teacher's of width 5, whose weight is tied where the student's is not.
func divergenceTrials() []trial {
	const n, c, wide, classes = 9, 11, 5, 37
	targets := is(3, 0, device.IgnoreIndex, 36, 5, 5, device.IgnoreIndex, 1, 2)
	var ts []trial
	for name, transposed := range map[string]bool{"": false, "of a tied weight": true} {
		w, teacher := f(c, classes), f(classes, wide)
		if transposed {
			w, teacher = f(classes, c), f(wide, classes)
		}
		args := func(b device.Backend, v []*device.Value) device.HeadDivergenceArgs {
			var logits [2]*device.Value
			for i := range logits {
				var err error
				if logits[i], err = device.New(b, device.Floats(2, classes)); err != nil {
					panic(err)
				}
			}
			a := device.HeadDivergenceArgs{Temperature: 1.5, RowLoss: v[6], Mean: v[7]}
			a.Student = device.HeadInput{Rows: n, Width: c, Classes: classes, X: v[0], W: v[1], Bias: v[2], TransW: transposed, Targets: v[3], Logits: logits[0]}
			a.Teacher = device.HeadInput{Rows: n, Width: wide, Classes: classes, X: v[4], W: v[5], TransW: !transposed, Logits: logits[1]}
			b.HeadDivergence(a)
			return a
		}
		values := []operand{f(n, c), w, f(classes), targets, f(n, wide), teacher, f(n), f(1)}
		ts = append(ts,
			trial{method: "HeadDivergence", name: name, values: values, call: func(b device.Backend, v []*device.Value) { args(b, v) }},
			trial{method: "HeadDivergenceBackward", name: name, values: append(values, scalar(0.7), f(n, c), w, f(classes)), call: func(b device.Backend, v []*device.Value) {
				g := device.HeadGradients{DX: v[9], DW: v[10], DBias: v[11], Accumulate: transposed}
				b.HeadDivergenceBackward(device.HeadDivergenceBackwardArgs{Forward: args(b, v), DMean: v[8], HeadGradients: g})
			}})
	}
	return ts
}
