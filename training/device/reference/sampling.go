package reference

import (
	"cmp"
	"math"
	"slices"

	"tempera/training/device"
)

// Pick is part of device.Paged. Probabilities are rounded to float32, so that those which are equal there are equal here.
func (b *Backend) Pick(a device.PickArgs) {
	logits, asks, picked := b.of(a.Logits), b.ints(a.Asks), b.of(a.Picked)
	for r := range a.Rows {
		row := slices.Clone(logits[r*a.Vocab:][:a.Vocab])
		normal := logSumExp(row)
		if a.Hidden != nil {
			n := a.Hidden.Size() / a.Rows
			for _, id := range b.ints(a.Hidden)[r*n:][:n] {
				if id >= 0 {
					row[id] = math.Inf(-1)
				}
			}
		}
		token, sampled := choose(row, asks[r*6:][:6])
		out := picked[r*3:][:3]
		clear(out)
		out[0] = float64(token)
		if token >= 0 {
			out[1], out[2] = bits(logits[r*a.Vocab+token]-normal), bits(sampled)
		}
	}
}

func bits(x float64) float64 { return float64(int32(math.Float32bits(float32(x)))) }

func float(bits int) float64 { return float64(math.Float32frombits(uint32(bits))) }

func logSumExp(x []float64) float64 {
	top, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

// choose is the token, -1 where there is none, and its log-probability among those that might have been drawn.
func choose(row []float64, ask []int) (int, float64) {
	best := slices.Max(row)
	switch {
	case math.IsNaN(best) || math.IsInf(best, 0):
		return -1, 0
	case float(ask[0]) == 0:
		return slices.Index(row, best), 0
	}
	p, order := make([]float64, len(row)), make([]int, len(row))
	for i, x := range row {
		p[i], order[i] = math.Exp((x-best)*float(ask[0])), i
	}
	total := sum(p, order)
	for i := range p {
		p[i] = float64(float32(p[i] / total))
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[j], p[i]) })
	if k := ask[1]; k > 0 && k < len(order) {
		order = order[:k]
	}
	if top := float(ask[2]); top > 0 && top < 1 {
		target, n := top, 0
		if ask[1] > 0 {
			target *= sum(p, order)
		}
		for above := 0.0; n < len(order) && above < target; n++ {
			above += p[order[n]]
		}
		order = order[:n]
	}
	least := float(ask[3]) * p[order[0]]
	order = slices.DeleteFunc(order, func(i int) bool { return p[i] == 0 || p[i] < least })
	slices.Sort(order)
	draw := uint64(uint32(ask[5]))<<32 | uint64(uint32(ask[4]))
	total = sum(p, order)
	u := float64(draw>>11) / (1 << 53) * total
	for _, i := range order {
		if u -= p[i]; u < 0 {
			return i, math.Log(p[i] / total)
		}
	}
	last := order[len(order)-1]
	return last, math.Log(p[last] / total)
}

func sum(p []float64, of []int) (total float64) {
	for _, i := range of {
		total += p[i]
	}
	return total
}
