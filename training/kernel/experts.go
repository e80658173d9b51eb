package kernel

import "math"

// Routing says which experts answer which tokens: Active of Experts for each of Tokens. Plan, of PlanSize elements, is what Route writes: the
// ends of the experts' groups of rows (Experts+1), the slot of each row, the row of each slot and the expert of each slot (Tokens Active each).
// A slot is token Active + j, j counting a token's experts in ascending order; rows are slots sorted by expert, in the order of tokens.
type Routing struct {
	Tokens, Active, Experts int
	Plan                    []int32
}

// PlanSize is the number of elements of Plan.
func (r Routing) PlanSize() int { return r.Experts + 1 + 3*r.Tokens*r.Active }

// Rows is the number of pairs of a token and an expert.
func (r Routing) Rows() int { return r.Tokens * r.Active }

// Ends are where the groups of rows begin and end: expert e has [Ends[e], Ends[e+1]).
func (r Routing) Ends() []int32 { return r.Plan[:r.Experts+1] }

func (r Routing) section(i int) []int32 {
	at := r.Experts + 1 + i*r.Rows()
	return r.Plan[at : at+r.Rows()]
}

func (r Routing) slots() []int32   { return r.section(0) }
func (r Routing) rows() []int32    { return r.section(1) }
func (r Routing) experts() []int32 { return r.section(2) }

func (r Routing) check(name string) {
	require(r.Active >= 1 && r.Active <= r.Experts, "%s: %d of %d experts are active", name, r.Active, r.Experts)
	need(name, "Plan", r.Plan, r.PlanSize())
}

// RouteArgs fills in the plan: each token takes the Active experts of highest sigmoid(logit) + balance, the lower number where two are equal
// (DeepSeek-V3, 2024). Logits is (Tokens, Experts), Balance (Experts).
type RouteArgs struct {
	Routing
	Logits, Balance []float32
}

// Route chooses experts. Scores are computed in float64.
func (e *Engine) Route(a RouteArgs) {
	a.check("Route")
	need("Route", "Logits", a.Logits, a.Tokens*a.Experts)
	need("Route", "Balance", a.Balance, a.Experts)
	experts := a.experts()
	e.rows(a.Tokens, a.Experts, func(lo, hi int) {
		scores := make([]float64, a.Experts)
		for t := lo; t < hi; t++ {
			for i, l := range row(a.Logits, t, a.Experts, a.Experts) {
				if scores[i] = sigmoid64(l) + float64(a.Balance[i]); !(scores[i] >= -math.MaxFloat64) {
					scores[i] = -math.MaxFloat64 // a NaN is chosen last, and shows in the loss
				}
			}
			choose(scores, experts[t*a.Active:(t+1)*a.Active])
		}
	})
	a.sort()
}

func sigmoid64(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }

// choose writes the indices of the highest scores, all finite, in ascending order, and spoils the scores.
func choose(scores []float64, out []int32) {
	for range out {
		best := 0
		for i, s := range scores {
			if s > scores[best] {
				best = i
			}
		}
		scores[best] = math.Inf(-1)
	}
	n := 0
	for i, s := range scores {
		if math.IsInf(s, -1) && n < len(out) {
			out[n] = int32(i)
			n++
		}
	}
}

// sort groups the slots by expert, given the expert of each.
func (r Routing) sort() {
	ends, slots, rows := r.Ends(), r.slots(), r.rows()
	clear(ends)
	for _, x := range r.experts() {
		ends[x+1]++
	}
	for x := range r.Experts {
		ends[x+1] += ends[x]
	}
	next := make([]int32, r.Experts)
	copy(next, ends)
	for s, x := range r.experts() {
		slots[next[x]], rows[s] = int32(s), next[x]
		next[x]++
	}
}

// GateArgs is the weight of each of a token's experts: Scale s / Σ s over its experts, s = sigmoid(logit). Weights is (Tokens, Active).
type GateArgs struct {
	Routing
	Scale           float32
	Logits, Weights []float32
}

// gateFloor keeps a sum of affinities that are all 0 from dividing (DeepSeek-V3).
const gateFloor = 1e-20

// Gate weighs experts.
func (e *Engine) Gate(a GateArgs) {
	a.check("Gate")
	need("Gate", "Logits", a.Logits, a.Tokens*a.Experts)
	need("Gate", "Weights", a.Weights, a.Rows())
	experts := a.experts()
	e.rows(a.Tokens, a.Active, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			logits, sum := row(a.Logits, t, a.Experts, a.Experts), gateFloor
			chosen := experts[t*a.Active : (t+1)*a.Active]
			for _, x := range chosen {
				sum += sigmoid64(logits[x])
			}
			for j, x := range chosen {
				a.Weights[t*a.Active+j] = float32(float64(a.Scale) * sigmoid64(logits[x]) / sum)
			}
		}
	})
}

// GateBackwardArgs writes or accumulates the gradient of all logits; that of experts that do not answer is 0.
type GateBackwardArgs struct {
	Routing
	Scale                     float32
	Logits, DWeights, DLogits []float32
	Accumulate                bool
}

// GateBackward is the gradient of Gate.
func (e *Engine) GateBackward(a GateBackwardArgs) {
	a.check("GateBackward")
	need("GateBackward", "Logits", a.Logits, a.Tokens*a.Experts)
	need("GateBackward", "DWeights", a.DWeights, a.Rows())
	need("GateBackward", "DLogits", a.DLogits, a.Tokens*a.Experts)
	experts := a.experts()
	e.rows(a.Tokens, a.Experts, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			logits, d := row(a.Logits, t, a.Experts, a.Experts), row(a.DLogits, t, a.Experts, a.Experts)
			if !a.Accumulate {
				clear(d)
			}
			chosen := experts[t*a.Active : (t+1)*a.Active]
			sum, dot := gateFloor, 0.0
			for j, x := range chosen {
				s := sigmoid64(logits[x])
				sum += s
				dot += float64(a.DWeights[t*a.Active+j]) * s
			}
			for j, x := range chosen {
				s := sigmoid64(logits[x])
				ds := float64(a.Scale) / sum * (float64(a.DWeights[t*a.Active+j]) - dot/sum)
				d[x] += float32(ds * s * (1 - s))
			}
		}
	})
}
