package device

import "tempera/training/kernel"

// Experts sends tokens to some of several networks and brings the results back (DeepSeek-V3, 2024).
type Experts interface {
	Route(a RouteArgs)
	Gate(a GateArgs)
	GateBackward(a GateBackwardArgs)
	Dispatch(a DispatchArgs)
	Combine(a CombineArgs)
	CombineDot(a CombineDotArgs)
	ExpertGemm(a ExpertGemmArgs)
	ExpertGrad(a ExpertGradArgs)
}

// Routing says which experts answer which tokens: Active of Experts for each of Tokens. A row is a pair of a token and an expert; rows are sorted
// by expert and then by token. Slot t Active + j is the j-th of token t's experts in ascending order. Plan, int32 (PlanSize), is the Experts+1 ends
// of the experts' groups of rows, the slot of each row, the row of each slot and the expert of each slot.
type Routing struct {
	Tokens, Active, Experts int
	Plan                    *Value
}

// PlanSize is the number of elements of a plan.
func (r Routing) PlanSize() int {
	return kernel.Routing{Tokens: r.Tokens, Active: r.Active, Experts: r.Experts}.PlanSize()
}

// RouteArgs writes the plan: each token takes the Active experts of highest sigmoid(logit) + balance, the lower number where two are equal.
// Logits is (Tokens, Experts), Balance (Experts).
type RouteArgs struct {
	Routing
	Logits, Balance *Value
}

// GateArgs is Weights (Tokens, Active) = Scale s / Σ s over a token's experts, s = sigmoid(logit).
type GateArgs struct {
	Routing
	Scale           float32
	Logits, Weights *Value
}

// GateBackwardArgs writes the gradient of all logits, or accumulates it.
type GateBackwardArgs struct {
	Routing
	Scale                     float32
	Logits, DWeights, DLogits *Value
	Accumulate                bool
}

// DispatchArgs is Y (rows, Cols) = Weights[slot] X[token], X being (Tokens, Cols); Weights nil means 1.
type DispatchArgs struct {
	Routing
	Cols          int
	X, Weights, Y *Value
}

// CombineArgs is Y (Tokens, Cols) (+)= the sum of Weights[slot] X[row] over a token's rows, in ascending order of experts; Weights nil means 1.
type CombineArgs struct {
	Routing
	Cols          int
	X, Weights, Y *Value
	Accumulate    bool
}

// CombineDotArgs is DWeights (Tokens, Active) (+)= DY[token] . X[row]: the gradient of Combine's weights.
type CombineDotArgs struct {
	Routing
	Cols            int
	X, DY, DWeights *Value
	Accumulate      bool
}

// ExpertGemmArgs is C_e (+)= A_e op(B_e) for the rows of each expert: A is (rows, K), B (Experts, K, N), or (Experts, N, K) with TransB, C (rows, N).
type ExpertGemmArgs struct {
	Routing
	N, K       int
	A, B, C    *Value
	TransB     bool
	Accumulate bool
}

// ExpertGradArgs accumulates DB_e += A_eᵀ DC_e: A is (rows, K), DC (rows, N), DB (Experts, K, N).
type ExpertGradArgs struct {
	Routing
	N, K      int
	A, DC, DB *Value
}
