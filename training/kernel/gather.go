package kernel

// GatherArgs copies rows of Table (TableRows x Cols, tight) to Y: row i of Y is row Index[i], or zeros if Index[i] is negative. It is the
// lookup of an embedding and the selection of rows (class tokens, last tokens, hard negatives).
type GatherArgs struct {
	TableRows, Cols int
	Table           []float32
	Index           []int32
	Y               []float32
	LDY             int
}

// Gather copies rows by index.
func (e *Engine) Gather(a GatherArgs) {
	need("Gather", "Table", a.Table, a.TableRows*a.Cols)
	a.LDY = needMatrix("Gather", "Y", a.Y, len(a.Index), a.Cols, a.LDY)
	checkIndex("Gather", a.Index, a.TableRows)
	e.rows(len(a.Index), a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			y := row(a.Y, r, a.LDY, a.Cols)
			if t := int(a.Index[r]); t >= 0 {
				copy(y, a.Table[t*a.Cols:(t+1)*a.Cols])
			} else {
				clear(y)
			}
		}
	})
}

// GatherBackwardArgs accumulates row i of DY into row Index[i] of DTable, in the order of i; negative indices are skipped.
type GatherBackwardArgs struct {
	TableRows, Cols int
	DTable          []float32
	Index           []int32
	DY              []float32
	LDDY            int
}

// GatherBackward is the gradient of Gather: parallel over columns, so that repeated indices add up in a fixed order.
func (e *Engine) GatherBackward(a GatherBackwardArgs) {
	need("GatherBackward", "DTable", a.DTable, a.TableRows*a.Cols)
	a.LDDY = needMatrix("GatherBackward", "DY", a.DY, len(a.Index), a.Cols, a.LDDY)
	checkIndex("GatherBackward", a.Index, a.TableRows)
	const width = 32
	e.blocks(a.Cols, width, func(lo, hi int) {
		for r, t := range a.Index {
			if t >= 0 {
				d := a.DTable[int(t)*a.Cols+lo : int(t)*a.Cols+hi]
				e.isa.add(d, d, a.DY[r*a.LDDY+lo:r*a.LDDY+hi])
			}
		}
	})
}

func checkIndex(name string, index []int32, rows int) {
	for i, t := range index {
		require(int(t) < rows, "%s.Index[%d] is %d, the table has %d rows", name, i, t, rows)
	}
}
