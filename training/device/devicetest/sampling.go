package devicetest

import (
	"math"
	"math/rand/v2"

	"tempera/training/device"
)

// ask is a row of device.PickArgs.
type ask struct {
	temperature float32
	topK        int32
	topP, minP  float32
	draw        uint64
}

func (q ask) words() []int32 {
	bits := func(x float32) int32 { return int32(math.Float32bits(x)) }
	inverse := float32(0)
	if q.temperature > 0 {
		inverse = 1 / q.temperature
	}
	return []int32{bits(inverse), q.topK, bits(q.topP), bits(q.minP), int32(q.draw), int32(q.draw >> 32)}
}

// pickTrials draw from every place of distributions of several sizes. Tokens are compared, and so are log-probabilities.
func pickTrials() []trial {
	r := rand.New(rand.NewPCG(5, 6))
	var ts []trial
	for name, q := range map[string]ask{
		"the likeliest": {}, "any": {temperature: 1}, "any, hot": {temperature: 1.7}, "of the top": {temperature: 0.8, topK: 5}, "of the top one": {temperature: 1, topK: 1},
		"of a nucleus": {temperature: 1, topP: 0.8}, "of a wide nucleus": {temperature: 1.5, topP: 0.99}, "of a nucleus of the top": {temperature: 1, topK: 20, topP: 0.7},
		"of the likely": {temperature: 1, minP: 0.2}, "of all cuts": {temperature: 1.2, topK: 40, topP: 0.9, minP: 0.05},
	} {
		for _, vocab := range []int{3, 77, 5003} {
			for tied, logit := range map[string]func(*rand.Rand) float64{"": func(r *rand.Rand) float64 { return 3 * r.NormFloat64() }, ", many alike": func(r *rand.Rand) float64 { return float64(r.IntN(4)) }} {
				const rows = 6
				var asks, hidden []int32
				for range rows {
					q.draw = r.Uint64()
					asks = append(asks, q.words()...)
					hidden = append(hidden, int32(r.IntN(vocab)), -1)
				}
				ts = append(ts, pickTrial(name+tied, rows, vocab, logit, asks, nil), pickTrial(name+tied+", some hidden", rows, vocab, logit, asks, hidden))
			}
		}
	}
	return append(ts, pickTrial("nothing, for all are hidden", 1, 3, nil, ask{temperature: 1}.words(), []int32{0, 1, 2}),
		pickTrial("nothing of infinity", 1, 77, func(*rand.Rand) float64 { return math.Inf(1) }, ask{}.words(), nil))
}

func pickTrial(name string, rows, vocab int, logit func(*rand.Rand) float64, asks, hidden []int32) trial {
	values := []operand{{shape: []int{rows, vocab}, floats: logit}, {shape: []int{rows, 6}, ints: asks}, {shape: []int{rows, 3}, ints: make([]int32, 3*rows)}, f(rows, 2)}
	if hidden != nil {
		values = append(values, operand{shape: []int{rows, len(hidden) / rows}, ints: hidden})
	}
	return trial{method: "Pick", name: name, values: values, call: func(b device.Backend, v []*device.Value) {
		// Hidden logits may be changed, and the bits of log-probabilities differ a little: only tokens are compared as integers.
		work, err := device.New(b, v[0].Desc())
		must(err)
		raw, err := device.New(b, v[2].Desc())
		must(err)
		b.Copy(work, v[0])
		a := device.PickArgs{Rows: rows, Vocab: vocab, Logits: work, Asks: v[1], Picked: raw}
		if hidden != nil {
			a.Hidden = v[4]
		}
		b.(device.Paged).Pick(a)
		picked, err := device.ReadInts(b, raw)
		must(err)
		probabilities := make([]float32, 0, 2*rows)
		for at := 0; at < len(picked); at += 3 {
			for i := 1; i < 3; i++ {
				probabilities = append(probabilities, math.Float32frombits(uint32(picked[at+i])))
				picked[at+i] = 0
			}
		}
		must(b.UploadInts(v[2], picked))
		must(b.UploadFloats(v[3], probabilities))
	}}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
