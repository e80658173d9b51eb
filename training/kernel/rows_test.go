package kernel

import (
	"fmt"
	"math"
	"testing"
)

func softmaxRef(rows, cols int, scale float64, log bool, x []float64) []float64 {
	out := make([]float64, rows*cols)
	for r := range rows {
		var sum float64
		for _, v := range x[r*cols : (r+1)*cols] {
			sum += math.Exp(scale * v)
		}
		for i := r * cols; i < (r+1)*cols; i++ {
			out[i] = math.Exp(scale*x[i]) / sum
			if log {
				out[i] = scale*x[i] - math.Log(sum)
			}
		}
	}
	return out
}

func TestSoftmaxAndLogSoftmaxAndTheirGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(14)
		for _, c := range [][2]int{{1, 1}, {3, 17}, {4, 70}} {
			for _, scale := range []float32{1, 2.5, -0.5} {
				for _, log := range []bool{false, true} {
					rows, cols := c[0], c[1]
					x, dy := s.vec(rows*cols), s.vec(rows*cols)
					y, dx := make([]float32, rows*cols), make([]float32, rows*cols)
					what := fmt.Sprint(c, " scale ", scale, " log ", log)
					e.Softmax(SoftmaxArgs{Rows: rows, Cols: cols, X: x, Y: y, Scale: scale, Log: log})
					f := func(x []float64) []float64 { return softmaxRef(rows, cols, float64(scale), log, x) }
					check(t, what, y, f(wide(x)), 1e-5)
					e.SoftmaxBackward(SoftmaxBackwardArgs{Rows: rows, Cols: cols, Y: y, DY: dy, DX: dx, Scale: scale, Log: log})
					check(t, "gradient "+what, dx, gradient(wide(x), dy, f), 1e-5)
				}
			}
		}
	})
}

func TestL2NormalizeAndItsGradient(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(15)
		const rows, cols, eps = 4, 37, 1e-3
		x, dy := s.vec(rows*cols), s.vec(rows*cols)
		for i := range cols {
			x[i] *= 1e-6 // the first row is shorter than eps
		}
		f := func(x []float64) []float64 {
			out := make([]float64, rows*cols)
			for r := range rows {
				var sq float64
				for _, v := range x[r*cols : (r+1)*cols] {
					sq += v * v
				}
				for i := r * cols; i < (r+1)*cols; i++ {
					out[i] = x[i] / math.Max(math.Sqrt(sq), eps)
				}
			}
			return out
		}
		y, inv, dx := make([]float32, rows*cols), make([]float32, rows), make([]float32, rows*cols)
		e.L2Normalize(L2NormalizeArgs{Rows: rows, Cols: cols, X: x, Y: y, Inv: inv, Eps: eps})
		check(t, "value", y, f(wide(x)), 2e-6)
		want := gradient(wide(x), dy, f)
		b := L2NormalizeBackwardArgs{Rows: rows, Cols: cols, Y: y, Inv: inv, DY: dy, DX: dx, Eps: eps}
		e.L2NormalizeBackward(b)
		check(t, "gradient below eps", dx[:cols], want[:cols], 1e-5)
		check(t, "gradient", dx[cols:], want[cols:], 1e-5)
		b.DX, b.Accumulate = ones(rows*cols), true
		e.L2NormalizeBackward(b)
		check(t, "accumulated gradient", b.DX[cols:], plus(want[cols:]), 1e-5)
	})
}

func TestMeanPoolCountsOnlyTheTokensOfEachRow(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(16)
		const b, n, c = 3, 5, 19
		x, dy := s.vec(b*n*c), s.vec(b*c)
		for _, lengths := range [][]int32{nil, {5, 2, 0}} {
			f := func(x []float64) []float64 {
				out := make([]float64, b*c)
				for i := range b {
					m := n
					if lengths != nil {
						m = int(lengths[i])
					}
					for t := range m {
						for j := range c {
							out[i*c+j] += x[(i*n+t)*c+j] / float64(m)
						}
					}
				}
				return out
			}
			y, dx := make([]float32, b*c), ones(b*n*c)
			e.MeanPool(MeanPoolArgs{B: b, T: n, C: c, Lengths: lengths, X: x, Y: y})
			check(t, "value", y, f(wide(x)), 2e-6)
			want := gradient(wide(x), dy, f)
			e.MeanPoolBackward(MeanPoolBackwardArgs{B: b, T: n, C: c, Lengths: lengths, DY: dy, DX: dx, Accumulate: true})
			check(t, "accumulated gradient", dx, plus(want), 1e-6)
			e.MeanPoolBackward(MeanPoolBackwardArgs{B: b, T: n, C: c, Lengths: lengths, DY: dy, DX: dx})
			check(t, "gradient", dx, want, 1e-6)
		}
	})
}

func TestRoPETurnsPairsAndItsInverseTurnsBack(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(17)
		const b, n, h, d = 2, 6, 3, 44
		x := s.vec(b * n * h * d)
		rows, cols := []int32{0, 0, 0, 1, 1, 1}, []int32{0, 1, 2, 0, 1, 2}
		for name, table := range map[string]*RoPETable{
			"half": NewRoPETable(RoPESpec{Width: d, Theta: 1e4, Rows: cols}), "2-D": NewRoPETable(RoPESpec{Width: d, Theta: 1e4, Rows: rows, Cols: cols}),
		} {
			want := make([]float64, len(x))
			for i := range b * n * h {
				at := i / h % n
				parts, pos := 1, []int32{cols[at]}
				if name == "2-D" {
					parts, pos = 2, []int32{rows[at], cols[at]}
				}
				w := d / parts
				for p := range parts {
					for j := range w / 2 {
						u, v := i*d+p*w+j, i*d+p*w+j+w/2
						sin, cos := math.Sincos(float64(pos[p]) * math.Pow(1e4, -2*float64(j)/float64(w)))
						want[u] = float64(x[u])*cos - float64(x[v])*sin
						want[v] = float64(x[v])*cos + float64(x[u])*sin
					}
				}
			}
			y := make([]float32, len(x))
			a := RoPEArgs{B: b, T: n, H: h, D: d, X: TightView(x, n, h, d), Y: TightView(y, n, h, d), Table: table}
			e.RoPE(a)
			check(t, name, y, want, 1e-6)
			a.X, a.Inverse = a.Y, true
			e.RoPE(a)
			check(t, name+" and back", y, wide(x), 1e-6)
		}
	})
}

func TestRoPETakesPositionsByIndexFrequenciesAndAMagnitude(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(18)
		const n, d = 5, 6
		x, y, z := s.vec(n*d), make([]float32, n*d), make([]float32, n*d)
		index := []int32{3, 0, 1, 0, 2}
		table := NewRoPETable(RoPESpec{Width: d, Theta: 100, Rows: []int32{0, 1, 2, 3}})
		e.RoPE(RoPEArgs{B: 1, T: n, H: 1, D: d, X: TightView(x, n, 1, d), Y: TightView(y, n, 1, d), Table: table, Index: index})
		scaled := NewRoPETable(RoPESpec{Width: d, Frequencies: []float64{1, math.Pow(100, -1.0/3), math.Pow(100, -2.0/3)}, Magnitude: 2, Rows: index})
		e.RoPE(RoPEArgs{B: 1, T: n, H: 1, D: d, X: TightView(x, n, 1, d), Y: TightView(z, n, 1, d), Table: scaled})
		e.Scale(z, z, 0.5)
		check(t, "by index", y, wide(z), 1e-6)
		panics(t, "a position beyond the table", func() {
			e.RoPE(RoPEArgs{B: 1, T: n, H: 1, D: d, X: TightView(x, n, 1, d), Y: TightView(y, n, 1, d), Table: table, Index: []int32{3, 0, 1, 0, 4}})
		})
	})
}

func TestGatherAndScatterKeepOrderAndSkipNegativeIndices(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(18)
		const rows, cols = 7, 43
		table := s.vec(rows * cols)
		index := []int32{3, -1, 3, 0, 6, 3}
		y, dtable := make([]float32, len(index)*cols), ones(rows*cols)
		e.Gather(GatherArgs{TableRows: rows, Cols: cols, Table: table, Index: index, Y: y})
		want := make([]float64, len(index)*cols)
		back := wide(dtable)
		for i, t := range index {
			for j := range cols {
				if t >= 0 {
					want[i*cols+j] = float64(table[int(t)*cols+j])
					back[int(t)*cols+j] += float64(table[int(t)*cols+j])
				}
			}
		}
		check(t, "gather", y, want, 0)
		e.GatherBackward(GatherBackwardArgs{TableRows: rows, Cols: cols, DTable: dtable, Index: index, DY: y})
		check(t, "scatter", dtable, back, 1e-6)
	})
	e := newEngine(t, 1, Portable)
	panics(t, "an index beyond the table", func() {
		e.Gather(GatherArgs{TableRows: 2, Cols: 1, Table: make([]float32, 2), Index: []int32{2}, Y: make([]float32, 1)})
	})
}

func TestRowsAreAddedAndSummedWithAPeriod(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(19)
		for _, period := range []int{1, 4, 12} {
			const rows, cols = 12, 35
			x, p := s.vec(rows*cols), s.vec(period*cols)
			y, dp := make([]float32, rows*cols), ones(period*cols)
			e.AddRows(AddRowsArgs{Rows: rows, Cols: cols, Period: period, X: x, P: p, Y: y})
			e.SumRows(SumRowsArgs{Rows: rows, Cols: cols, Period: period, X: x, DP: dp})
			want, sums := wide(x), wide(ones(period*cols))
			for i := range want {
				k := i / cols % period * cols
				sums[k+i%cols] += want[i]
				want[i] += float64(p[k+i%cols])
			}
			check(t, "sum", y, want, 1e-6)
			check(t, "row sums", dp, sums, 1e-6)
		}
	})
}
