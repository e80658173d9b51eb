package device

// Linear is matrix products.
type Linear interface {
	Gemm(a GemmArgs)
}

// GemmArgs is C (+)= op(A) op(B), then C = activation(C + Bias) + Residual. op(A) is M x K (A is stored K x M if TransA), op(B) is K x N
// (stored N x K if TransB). C overlaps neither A nor B.
type GemmArgs struct {
	M, N, K        int
	A, B, C        *Value
	TransA, TransB bool
	Accumulate     bool
	Bias           *Value // (N) or nil
	Activation     Activation
	Pre            *Value // (M, N): receives C + Bias for the activation's backward, or nil
	Residual       *Value // (M, N) or nil
}
