package kernel

// MeanPoolArgs is y[b] = mean over the first Lengths[b] tokens of x (B,T,C), tight. Nil Lengths means T for all; a length of 0 gives zeros.
type MeanPoolArgs struct {
	B, T, C int
	Lengths []int32
	X, Y    []float32 // (B,T,C), (B,C)
}

// MeanPool averages tokens.
func (e *Engine) MeanPool(a MeanPoolArgs) {
	need("MeanPool", "X", a.X, a.B*a.T*a.C)
	need("MeanPool", "Y", a.Y, a.B*a.C)
	checkLengths("MeanPool", a.Lengths, a.B, a.T)
	e.rows(a.B, a.T*a.C, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			y := row(a.Y, b, a.C, a.C)
			clear(y)
			n := lengthOf(a.Lengths, b, a.T)
			for t := range n {
				e.isa.add(y, y, row(a.X, b*a.T+t, a.C, a.C))
			}
			e.isa.scale(y, y, 1/float32(max(1, n)))
		}
	})
}

// MeanPoolBackwardArgs writes dx[b,t] = dy[b] / Lengths[b] for the tokens that count and 0 for the others, or accumulates it.
type MeanPoolBackwardArgs struct {
	B, T, C    int
	Lengths    []int32
	DY, DX     []float32
	Accumulate bool
}

// MeanPoolBackward is the gradient of MeanPool.
func (e *Engine) MeanPoolBackward(a MeanPoolBackwardArgs) {
	need("MeanPoolBackward", "DY", a.DY, a.B*a.C)
	need("MeanPoolBackward", "DX", a.DX, a.B*a.T*a.C)
	checkLengths("MeanPoolBackward", a.Lengths, a.B, a.T)
	e.rows(a.B, a.T*a.C, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			dy := row(a.DY, b, a.C, a.C)
			n := lengthOf(a.Lengths, b, a.T)
			for t := range a.T {
				dx := row(a.DX, b*a.T+t, a.C, a.C)
				switch {
				case t < n && a.Accumulate:
					e.isa.axpy(dx, dy, 1/float32(n))
				case t < n:
					e.isa.scale(dx, dy, 1/float32(n))
				case !a.Accumulate:
					clear(dx)
				}
			}
		}
	})
}

func lengthOf(lengths []int32, b, most int) int {
	if lengths == nil {
		return most
	}
	return int(lengths[b])
}

func checkLengths(name string, lengths []int32, n, most int) {
	if lengths == nil {
		return
	}
	need(name, "Lengths", lengths, n)
	for i, v := range lengths[:n] {
		require(v >= 0 && int(v) <= most, "%s.Lengths[%d] is %d, the row has %d tokens", name, i, v, most)
	}
}
