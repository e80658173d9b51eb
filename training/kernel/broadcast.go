package kernel

// AddRowsArgs is y = x + p, where row r of the tight Rows x Cols matrix takes row r mod Period of P: a bias with Period 1, a position
// embedding with Period T. Y may be X.
type AddRowsArgs struct {
	Rows, Cols, Period int
	X, P, Y            []float32
}

// AddRows adds a repeating block of rows.
func (e *Engine) AddRows(a AddRowsArgs) {
	need("AddRows", "X", a.X, a.Rows*a.Cols)
	need("AddRows", "Y", a.Y, a.Rows*a.Cols)
	need("AddRows", "P", a.P, a.Period*a.Cols)
	require(a.Period > 0 || a.Rows == 0, "AddRows.Period is %d", a.Period)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			e.isa.add(row(a.Y, r, a.Cols, a.Cols), row(a.X, r, a.Cols, a.Cols), row(a.P, r%a.Period, a.Cols, a.Cols))
		}
	})
}

// SumRowsArgs accumulates DP[r mod Period] += X[r]: the gradient of AddRows; with Period 1, column sums. LD is X's.
type SumRowsArgs struct {
	Rows, Cols, Period int
	X                  []float32
	LD                 int
	DP                 []float32
}

// SumRows adds up rows in a fixed order.
func (e *Engine) SumRows(a SumRowsArgs) {
	a.LD = needMatrix("SumRows", "X", a.X, a.Rows, a.Cols, a.LD)
	need("SumRows", "DP", a.DP, a.Period*a.Cols)
	require(a.Period > 0 || a.Rows == 0, "SumRows.Period is %d", a.Period)
	if a.Rows == 0 || a.Cols == 0 {
		return
	}
	if a.Period == 1 {
		e.columnSum(a)
		return
	}
	e.rows(a.Period, a.Cols*max(1, a.Rows/a.Period), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			d := row(a.DP, p, a.Cols, a.Cols)
			for r := p; r < a.Rows; r += a.Period {
				e.isa.add(d, d, row(a.X, r, a.LD, a.Cols))
			}
		}
	})
}

func (e *Engine) columnSum(a SumRowsArgs) {
	blk := paramRows(a.Rows, a.Cols)
	nb := (a.Rows + blk - 1) / blk
	l := e.lease()
	defer e.release(l)
	part := l.buf(buf0, nb*a.Cols)
	clear(part)
	e.shared(nb, a.Rows*a.Cols*elementWork, func(i int) {
		p := row(part, i, a.Cols, a.Cols)
		for r := i * blk; r < min(a.Rows, (i+1)*blk); r++ {
			e.isa.add(p, p, row(a.X, r, a.LD, a.Cols))
		}
	})
	e.addParts(a.DP[:a.Cols], part, nb, a.Cols)
}
