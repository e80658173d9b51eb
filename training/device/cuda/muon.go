//go:build gpu

package cuda

import (
	"fmt"
	"math"
	"slices"

	"tempera/training/device"
	"tempera/training/device/cuda/blas"
	"tempera/training/device/cuda/driver"
)

// newtonSchulz are the coefficients of device.MuonArgs.
var newtonSchulz = [3]float32{3.4445, -4.7750, 2.0315}

// matrix is one that Muon moves, as optimiser.cu has it.
type matrix struct {
	p, m, g, narrow            driver.Pointer
	momentum, rate, keep, none float32
}

// muon is a step on matrices of one shape.
type muon struct {
	b          *Backend
	dtype      device.DType // of the iteration
	rows, cols int
	batch      int // matrices of a round
	clip       driver.Pointer

	list, partial driver.Pointer
	x, y, s, poly driver.Pointer
}

// muon moves all matrices of some parameters, those of one shape together: its Newton-Schulz steps are batched products in the backend's precision, in bf16 as
// Jordan et al. 2024 compute them.
func (b *Backend) muon(as []device.MuonArgs, clip driver.Pointer) error {
	type shape struct{ rows, cols int }
	matrices := map[shape][]matrix{}
	var shapes []shape // in the order of the parameters
	for _, a := range as {
		n := same("Muon", a.P, a.G, a.M)
		dims := a.P.Shape()
		if len(dims) < 2 {
			panic(fmt.Sprintf("cuda: Muon on %v", a.P))
		}
		if n == 0 {
			continue
		}
		s := shape{dims[len(dims)-2], dims[len(dims)-1]}
		if matrices[s] == nil {
			shapes = append(shapes, s)
		}
		matrices[s] = append(matrices[s], matricesOf(a, s.rows, s.cols)...)
	}
	for _, s := range shapes {
		m := muon{b: b, dtype: b.operands(), rows: s.rows, cols: s.cols, clip: clip}
		if err := m.run(matrices[s]); err != nil {
			return err
		}
	}
	for _, a := range as {
		copyOf(a.P).renewed()
	}
	return nil
}

// matricesOf are the matrices of a parameter.
func matricesOf(a device.MuonArgs, rows, cols int) []matrix {
	p, g, m := address(a.P, device.Float32), reading(a.G, device.Float32), address(a.M, device.Float32)
	narrow := copyOf(a.P).address()
	var all []matrix
	for at := 0; at < a.P.Size(); at += rows * cols {
		words := driver.Pointer(at * device.WordBytes)
		x := matrix{
			p: p + words, m: m + words, g: g + words, momentum: float32(a.Momentum),
			rate: float32(a.LR * 0.2 * math.Sqrt(float64(max(rows, cols)))), keep: float32(1 - a.LR*a.Decay),
		}
		if narrow != 0 {
			x.narrow = narrow + words/2
		}
		all = append(all, x)
	}
	return all
}

// run moves matrices of the shape, in rounds.
func (m *muon) run(all []matrix) error {
	if err := m.prepare(len(all)); err != nil {
		return err
	}
	for round := range slices.Chunk(all, m.batch) {
		m.batch = len(round)
		if err := send(m.b, m.list, round); err != nil {
			return err
		}
		m.direction()
		x, err := m.orthogonal()
		if err != nil {
			return err
		}
		n := m.rows * m.cols
		m.b.kernel("optimiser", "muon_update", m.dtype).pointer(m.list).pointer(x).pointer(m.clip).i64(n).launch(m.grid())
	}
	return nil
}

// prepare takes memory for a round of at most so many matrices.
func (m *muon) prepare(all int) error {
	side, n, each := min(m.rows, m.cols), m.rows*m.cols, m.dtype.Bytes()
	m.batch = max(1, min(all, device.MuonRound/(2*(n+side*side)*each), 65535))
	var l layout
	var list [1]matrix
	m.list, m.partial = l.part(m.batch*listBytes(list[:])), l.part(8*m.batch*m.b.blocksOf(n))
	m.x, m.y = l.part(m.batch*n*each), l.part(m.batch*n*each)
	m.s, m.poly = l.part(m.batch*side*side*each), l.part(m.batch*side*side*each)
	at, err := m.b.products.spare(spareWork, l.bytes)
	if err != nil {
		return fmt.Errorf("memory of Muon: %w", err)
	}
	for _, p := range []*driver.Pointer{&m.list, &m.partial, &m.x, &m.y, &m.s, &m.poly} {
		*p += at
	}
	return nil
}

// blocksOf is how many blocks share the elements of a matrix.
func (b *Backend) blocksOf(elements int) int {
	return min(ceil(elements, 16*threads), 8*b.device.Processors)
}

// grid has blocks for each matrix of the round.
func (m *muon) grid() driver.Grid {
	return driver.Grid{X: m.b.blocksOf(m.rows * m.cols), Y: m.batch, ThreadsX: threads}
}

// direction moves the momentum, and leaves u / |u| in x.
func (m *muon) direction() {
	n, g := m.rows*m.cols, m.grid()
	m.b.kernel("optimiser", "muon_momentum", single).pointer(m.list).pointer(m.partial).pointer(m.clip).i64(n).launch(g)
	m.b.kernel("optimiser", "muon_direction", m.dtype).pointer(m.x).pointer(m.list).pointer(m.partial).i32(g.X).pointer(m.clip).i64(n).launch(g)
}

// orthogonal runs the steps on the side of x that has fewer rows, and returns where the result is: three products each, s = x xᵀ, poly = c s s + b s and
// y = poly x + a x.
func (m *muon) orthogonal() (driver.Pointer, error) {
	side, tall := min(m.rows, m.cols), m.rows > m.cols
	shape := blas.Product{Batch: m.batch, Operands: typeOf(m.dtype), Result: typeOf(m.dtype), Compute: m.b.arithmetic()}
	square, poly, step := shape, shape, shape
	square.M, square.N, square.K, square.TransA, square.TransB = side, side, max(m.rows, m.cols), tall, !tall
	poly.M, poly.N, poly.K = side, side, side
	step.M, step.N, step.K = m.rows, m.cols, side
	x, y := m.x, m.y
	for range 5 {
		next := blas.Operands{A: m.poly, B: x, C: x, D: y, Alpha: 1, Beta: newtonSchulz[0]}
		if tall {
			next.A, next.B = next.B, next.A
		}
		for _, p := range []struct {
			blas.Product
			blas.Operands
		}{
			{square, blas.Operands{A: x, B: x, D: m.s, Alpha: 1}},
			{poly, blas.Operands{A: m.s, B: m.s, C: m.s, D: m.poly, Alpha: newtonSchulz[2], Beta: newtonSchulz[1]}},
			{step, next},
		} {
			if err := m.b.products.multiply(p.Product, p.Operands); err != nil {
				return 0, err
			}
		}
		x, y = y, x
	}
	return x, nil
}
