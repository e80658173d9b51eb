package kernel

import (
	"math"
	"testing"
)

// singularValues are those of a rows x cols matrix, by one-sided Jacobi rotations of its rows, rows <= cols.
func singularValues(x []float64, rows, cols int) []float64 {
	for range 30 {
		for i := range rows {
			for j := range i {
				var ii, jj, ij float64
				for c := range cols {
					u, v := x[i*cols+c], x[j*cols+c]
					ii, jj, ij = ii+u*u, jj+v*v, ij+u*v
				}
				if ij == 0 {
					continue
				}
				t := (jj - ii) / (2 * ij)
				tan := math.Copysign(1, t) / (math.Abs(t) + math.Sqrt(1+t*t))
				cos := 1 / math.Sqrt(1+tan*tan)
				sin := cos * tan
				for c := range cols {
					u, v := x[i*cols+c], x[j*cols+c]
					x[i*cols+c], x[j*cols+c] = cos*u-sin*v, sin*u+cos*v
				}
			}
		}
	}
	out := make([]float64, rows)
	for i := range rows {
		for c := range cols {
			out[i] += x[i*cols+c] * x[i*cols+c]
		}
		out[i] = math.Sqrt(out[i])
	}
	return out
}

func TestMuonMakesEverySingularValueOfAnUpdateAboutOne(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(40)
		for _, shape := range [][2]int{{24, 40}, {40, 24}, {16, 16}, {1, 9}} {
			rows, cols := shape[0], shape[1]
			n := rows * cols
			p, g, m := make([]float32, 2*n), s.vec(2*n), make([]float32, 2*n)
			e.Muon(MuonArgs{Batch: 2, Rows: rows, Cols: cols, P: p, G: g, M: m, LR: 1, Momentum: 0.95})
			check(t, "momentum after the first step", m, wide(g), 1e-7)
			for i := range 2 {
				o := make([]float64, n) // the update, its smaller side as rows
				var along float64
				for r := range rows {
					for c := range cols {
						v := -float64(p[i*n+r*cols+c]) / (0.2 * math.Sqrt(float64(max(rows, cols))))
						along += v * float64(g[i*n+r*cols+c])
						if rows <= cols {
							o[r*cols+c] = v
						} else {
							o[c*rows+r] = v
						}
					}
				}
				for _, v := range singularValues(o, min(rows, cols), max(rows, cols)) {
					// The smallest singular values of a square random matrix are too small to reach 1 in five steps.
					if v > 1.2 || v < 0.6 && rows != cols {
						t.Fatalf("%dx%d: a singular value is %v", rows, cols, v)
					}
				}
				if along <= 0 {
					t.Fatalf("%dx%d: the update goes against the gradient", rows, cols)
				}
			}
		}
	})
}

func TestMuonTakesMomentumDecayAndTheScaleOfTheGradient(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(41)
		const rows, cols = 6, 11
		p, g, m := s.vec(rows*cols), s.vec(rows*cols), s.vec(rows*cols)
		u, q := make([]float32, len(p)), clone(p)
		wantM := make([]float64, len(p))
		for i := range p {
			wantM[i] = 0.9*float64(m[i]) + 0.5*float64(g[i])
			u[i] = float32(0.5*float64(g[i]) + 0.9*wantM[i])
		}
		e.Muon(MuonArgs{Rows: rows, Cols: cols, P: p, G: g, M: m, LR: 0.1, Momentum: 0.9, Decay: 0.3, GradScale: 0.5})
		check(t, "momentum", m, wantM, 1e-6)
		// From zero momentum the update is that of (1 + momentum) g: only its direction counts.
		o := make([]float32, len(p))
		e.Muon(MuonArgs{Rows: rows, Cols: cols, P: o, G: u, M: make([]float32, len(p)), LR: 0.1, Momentum: 0})
		want := make([]float64, len(p))
		for i := range want {
			want[i] = float64(q[i])*(1-0.03) + float64(o[i])
		}
		check(t, "parameter", p, want, 2e-5)
	})
}

func TestMuonIsTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	sameBits(t, func(e *Engine) []float32 {
		s := newSource(42)
		const rows, cols = 84, 110
		p, g, m := s.vec(rows*cols), s.vec(rows*cols), s.vec(rows*cols)
		for range 2 {
			e.Muon(MuonArgs{Rows: rows, Cols: cols, P: p, G: g, M: m, LR: 0.02, Momentum: 0.95, Decay: 0.1})
		}
		return append(p, m...)
	})
}
