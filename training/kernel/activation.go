package kernel

// Activation names an elementwise function.
type Activation int

// The activations. GELUTanh is the tanh form of Hendrycks and Gimpel 2016, GELUErf the exact one, SiLU is x sigmoid(x), and QuickGELU, of the
// first CLIP models, x sigmoid(1.702 x).
const (
	Identity Activation = iota
	GELUTanh
	GELUErf
	SiLU
	QuickGELU
	activations
)

// ActivateArgs is y = f(x) over N elements; Y may be X.
type ActivateArgs struct {
	Activation Activation
	N          int
	X, Y       []float32
}

// Activate applies an activation elementwise.
func (e *Engine) Activate(a ActivateArgs) {
	need("Activate", "X", a.X, a.N)
	need("Activate", "Y", a.Y, a.N)
	f := e.isa.activate[a.Activation]
	e.flat(a.N, func(lo, hi int) { f(a.Y[lo:hi], a.X[lo:hi]) })
}

// ActivateBackwardArgs is dx (+)= dy f'(x), from the pre-activation x. DX may be DY.
type ActivateBackwardArgs struct {
	Activation Activation
	N          int
	X, DY, DX  []float32
	Accumulate bool
}

// ActivateBackward is the gradient of Activate.
func (e *Engine) ActivateBackward(a ActivateBackwardArgs) {
	need("ActivateBackward", "X", a.X, a.N)
	need("ActivateBackward", "DY", a.DY, a.N)
	need("ActivateBackward", "DX", a.DX, a.N)
	f := e.isa.activateGrad[a.Activation]
	e.flat(a.N, func(lo, hi int) {
		if !a.Accumulate {
			f(a.DX[lo:hi], a.X[lo:hi], a.DY[lo:hi])
			return
		}
		l := e.lease()
		defer e.release(l)
		t := l.buf(buf0, hi-lo)
		f(t, a.X[lo:hi], a.DY[lo:hi])
		e.isa.add(a.DX[lo:hi], a.DX[lo:hi], t)
	})
}

// SwiGLUArgs is y = silu(gate) up (Shazeer 2020) on Rows x Cols matrices; gate and up may be the halves of one matrix of LD 2 Cols.
type SwiGLUArgs struct {
	Rows, Cols        int
	Gate, Up, Y       []float32
	LDGate, LDUp, LDY int
}

// SwiGLU applies the gated activation.
func (e *Engine) SwiGLU(a SwiGLUArgs) {
	a.LDGate = needMatrix("SwiGLU", "Gate", a.Gate, a.Rows, a.Cols, a.LDGate)
	a.LDUp = needMatrix("SwiGLU", "Up", a.Up, a.Rows, a.Cols, a.LDUp)
	a.LDY = needMatrix("SwiGLU", "Y", a.Y, a.Rows, a.Cols, a.LDY)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			e.isa.swiglu(row(a.Y, r, a.LDY, a.Cols), row(a.Gate, r, a.LDGate, a.Cols), row(a.Up, r, a.LDUp, a.Cols))
		}
	})
}

// SwiGLUBackwardArgs overwrites DGate and DUp.
type SwiGLUBackwardArgs struct {
	Rows, Cols                         int
	Gate, Up, DY, DGate, DUp           []float32
	LDGate, LDUp, LDDY, LDDGate, LDDUp int
}

// SwiGLUBackward is the gradient of SwiGLU.
func (e *Engine) SwiGLUBackward(a SwiGLUBackwardArgs) {
	a.LDGate = needMatrix("SwiGLUBackward", "Gate", a.Gate, a.Rows, a.Cols, a.LDGate)
	a.LDUp = needMatrix("SwiGLUBackward", "Up", a.Up, a.Rows, a.Cols, a.LDUp)
	a.LDDY = needMatrix("SwiGLUBackward", "DY", a.DY, a.Rows, a.Cols, a.LDDY)
	a.LDDGate = needMatrix("SwiGLUBackward", "DGate", a.DGate, a.Rows, a.Cols, a.LDDGate)
	a.LDDUp = needMatrix("SwiGLUBackward", "DUp", a.DUp, a.Rows, a.Cols, a.LDDUp)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			e.isa.swigluGrad(row(a.DGate, r, a.LDDGate, a.Cols), row(a.DUp, r, a.LDDUp, a.Cols),
				row(a.Gate, r, a.LDGate, a.Cols), row(a.Up, r, a.LDUp, a.Cols), row(a.DY, r, a.LDDY, a.Cols))
		}
	})
}

// row returns row r of a matrix with leading dimension ld.
func row(x []float32, r, ld, cols int) []float32 { return x[r*ld : r*ld+cols] }
