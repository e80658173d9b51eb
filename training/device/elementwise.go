package device

// Elementwise is functions of single elements, with broadcasts.
type Elementwise interface {
	// Add writes dst = a + b; dst may be either.
	Add(dst, a, b *Value)
	// Scale writes dst = alpha x; dst may be x.
	Scale(dst, x *Value, alpha float32)
	// Axpy accumulates dst += alpha x; the two may be of two float types.
	Axpy(dst, x *Value, alpha float32)
	Activate(a ActivateArgs)
	ActivateBackward(a ActivateBackwardArgs)
	SwiGLU(a SwiGLUArgs)
	SwiGLUBackward(a SwiGLUBackwardArgs)
	AddRows(a AddRowsArgs)
	SumRows(a SumRowsArgs)
	ScaleBy(a ScaleByArgs)
	ScaleByBackward(a ScaleByBackwardArgs)
}

// ActivateArgs is y = f(x); Y may be X.
type ActivateArgs struct {
	Activation Activation
	X, Y       *Value
}

// ActivateBackwardArgs is dx (+)= dy f'(x). DX may be DY.
type ActivateBackwardArgs struct {
	Activation Activation
	X, DY, DX  *Value
	Accumulate bool
}

// SwiGLUArgs is y = silu(gate) up over Rows x Cols (Shazeer 2020). With Up nil, Gate is (Rows, 2 Cols) and holds both, the gate first.
type SwiGLUArgs struct {
	Rows, Cols  int
	Gate, Up, Y *Value
}

// SwiGLUBackwardArgs overwrites DGate and DUp; the layout is the forward's.
type SwiGLUBackwardArgs struct {
	Rows, Cols               int
	Gate, Up, DY, DGate, DUp *Value
}

// AddRowsArgs is y = x + p where row r of Rows x Cols takes row r mod Period of P, which may be of another float type. Y may be X.
type AddRowsArgs struct {
	Rows, Cols, Period int
	X, P, Y            *Value
}

// SumRowsArgs accumulates DP[r mod Period] += X[r]: the gradient of AddRows; with Period 1, column sums. DP may be of another float type than X.
type SumRowsArgs struct {
	Rows, Cols, Period int
	X, DP              *Value
}

// Factor is how a scalar tensor multiplies.
type Factor uint8

// The factors of a scalar s.
const (
	Times     Factor = iota // s
	TimesExp                // exp(s): a logarithmic scale
	DividedBy               // 1/s: a temperature
)

// ScaleByArgs is y (+)= f(s) x for the scalar tensor S. Y may be X.
type ScaleByArgs struct {
	Factor     Factor
	X, S, Y    *Value
	Accumulate bool
}

// ScaleByBackwardArgs accumulates ds += f'(s) (dy . x), the inner product over all elements in a fixed order.
type ScaleByBackwardArgs struct {
	Factor       Factor
	X, S, DY, DS *Value
}
