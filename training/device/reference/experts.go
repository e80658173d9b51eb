package reference

import (
	"cmp"
	"slices"

	"tempera/training/device"
)

// routing is a plan as lists.
type routing struct {
	device.Routing
	expert []int // of each slot
	row    []int // of each slot
}

func (b *Backend) routing(r device.Routing) routing {
	plan, n := b.ints(r.Plan), r.Tokens*r.Active
	rows := plan[r.Experts+1+n:]
	return routing{r, rows[n : 2*n], rows[:n]}
}

// Route is part of device.Experts.
func (b *Backend) Route(a device.RouteArgs) {
	logits, balance, plan := b.of(a.Logits), b.of(a.Balance), b.of(a.Plan)
	n := a.Tokens * a.Active
	var expert []int
	for t := range a.Tokens {
		order := make([]int, a.Experts)
		for e := range order {
			order[e] = e
		}
		score := func(e int) float64 { return sigmoid(logits[t*a.Experts+e]) + balance[e] }
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(score(y), score(x)) })
		chosen := order[:a.Active]
		slices.Sort(chosen)
		expert = append(expert, chosen...)
	}
	at := a.Experts + 1
	row := 0
	for e := range a.Experts {
		plan[e] = float64(row)
		for slot, x := range expert {
			if x == e {
				plan[at+row], plan[at+n+slot], plan[at+2*n+slot] = float64(slot), float64(row), float64(e)
				row++
			}
		}
	}
	plan[a.Experts] = float64(row)
}

// Gate is part of device.Experts.
func (b *Backend) Gate(a device.GateArgs) {
	r, logits, weights := b.routing(a.Routing), b.of(a.Logits), b.of(a.Weights)
	for t := range a.Tokens {
		s, sum := r.affinities(logits, t)
		for j := range s {
			weights[t*a.Active+j] = float64(a.Scale) * s[j] / sum
		}
	}
}

// affinities are those of a token's experts, and their sum.
func (r routing) affinities(logits []float64, t int) (s []float64, sum float64) {
	for _, e := range r.expert[t*r.Active : (t+1)*r.Active] {
		s = append(s, sigmoid(logits[t*r.Experts+e]))
		sum += s[len(s)-1]
	}
	return s, sum
}

// GateBackward is part of device.Experts.
func (b *Backend) GateBackward(a device.GateBackwardArgs) {
	r, logits, dw, dl := b.routing(a.Routing), b.of(a.Logits), b.of(a.DWeights), b.of(a.DLogits)
	if !a.Accumulate {
		clear(dl)
	}
	for t := range a.Tokens {
		s, sum := r.affinities(logits, t)
		for j, e := range r.expert[t*a.Active : (t+1)*a.Active] {
			for i := range s { // weight i depends on affinity j
				d := -s[i] / (sum * sum)
				if i == j {
					d += 1 / sum
				}
				dl[t*a.Experts+e] += dw[t*a.Active+i] * float64(a.Scale) * d * s[j] * (1 - s[j])
			}
		}
	}
}

// weight is that of a slot; 1 where there are none.
func weight(w []float64, slot int) float64 {
	if w == nil {
		return 1
	}
	return w[slot]
}

// Dispatch is part of device.Experts.
func (b *Backend) Dispatch(a device.DispatchArgs) {
	x, w, y := b.of(a.X), b.of(a.Weights), b.of(a.Y)
	for slot, row := range b.routing(a.Routing).row {
		for c := range a.Cols {
			y[row*a.Cols+c] = weight(w, slot) * x[slot/a.Active*a.Cols+c]
		}
	}
}

// Combine is part of device.Experts.
func (b *Backend) Combine(a device.CombineArgs) {
	x, w, y := b.of(a.X), b.of(a.Weights), b.of(a.Y)
	if !a.Accumulate {
		clear(y)
	}
	for slot, row := range b.routing(a.Routing).row {
		for c := range a.Cols {
			y[slot/a.Active*a.Cols+c] += weight(w, slot) * x[row*a.Cols+c]
		}
	}
}

// CombineDot is part of device.Experts.
func (b *Backend) CombineDot(a device.CombineDotArgs) {
	x, dy, dw := b.of(a.X), b.of(a.DY), b.of(a.DWeights)
	for slot, row := range b.routing(a.Routing).row {
		var sum float64
		for c := range a.Cols {
			sum += dy[slot/a.Active*a.Cols+c] * x[row*a.Cols+c]
		}
		put(&dw[slot], sum, a.Accumulate)
	}
}

// ExpertGemm is part of device.Experts.
func (b *Backend) ExpertGemm(a device.ExpertGemmArgs) {
	r, x, w, y := b.routing(a.Routing), b.of(a.A), b.of(a.B), b.of(a.C)
	for slot, row := range r.row {
		own := w[r.expert[slot]*a.K*a.N:]
		for n := range a.N {
			var sum float64
			for k := range a.K {
				sum += x[row*a.K+k] * own[index(k, n, a.K, a.N, a.TransB)]
			}
			put(&y[row*a.N+n], sum, a.Accumulate)
		}
	}
}

// ExpertGrad is part of device.Experts.
func (b *Backend) ExpertGrad(a device.ExpertGradArgs) {
	r, x, dy, dw := b.routing(a.Routing), b.of(a.A), b.of(a.DC), b.of(a.DB)
	for slot, row := range r.row {
		for k := range a.K {
			for n := range a.N {
				dw[(r.expert[slot]*a.K+k)*a.N+n] += x[row*a.K+k] * dy[row*a.N+n]
			}
		}
	}
}
