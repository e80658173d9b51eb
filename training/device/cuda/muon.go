//go:build gpu

package cuda

import (
	"cmp"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/device/cuda/blas"
	"tempera/training/device/cuda/driver"
)

// muonBytes is what the matrices of one round of Muon may take, unless one alone takes more.
const muonBytes = 256 << 20

// newtonSchulz are the coefficients of device.MuonArgs.
var newtonSchulz = [3]float32{3.4445, -4.7750, 2.0315}

// muon is one step on matrices of one shape.
type muon struct {
	b          *Backend
	dtype      device.DType // of the iteration
	rows, cols int
	batch      int // matrices of a round

	x, y, s, poly driver.Pointer
	partial       driver.Pointer
}

// Muon is part of device.Optimiser. Its Newton-Schulz steps are batched products in the backend's precision: in bf16 as Jordan et al. 2024 compute them.
func (b *Backend) Muon(a device.MuonArgs) {
	n := same("Muon", a.P, a.G, a.M)
	shape := a.P.Shape()
	if len(shape) < 2 {
		panic(fmt.Sprintf("cuda: Muon on %v", a.P))
	}
	if n == 0 {
		return
	}
	m := muon{b: b, dtype: b.operands(), rows: shape[len(shape)-2], cols: shape[len(shape)-1]}
	b.products.mu.Lock()
	defer b.products.mu.Unlock()
	if err := m.prepare(n / (m.rows * m.cols)); err != nil {
		b.fail(err)
		return
	}
	p, g, momentum, copied := address(a.P, device.Float32), reading(a.G, device.Float32), address(a.M, device.Float32), copyOf(a.P).address()
	each := m.rows * m.cols
	for at := 0; at < n; at += m.batch * each {
		m.batch = min(m.batch, (n-at)/each)
		offset := driver.Pointer(at * device.WordBytes)
		m.direction(a, g+offset, momentum+offset)
		x, err := m.orthogonal()
		if err != nil {
			b.fail(err)
			return
		}
		count := m.batch * each
		narrow := copied
		if copied != 0 {
			narrow += offset / 2
		}
		c := b.kernel("optimiser", "muon_update", m.dtype).pointer(p + offset).pointer(x).pointer(narrow)
		rate := a.LR * 0.2 * math.Sqrt(float64(max(m.rows, m.cols)))
		c.f32(float32(1 - a.LR*a.Decay)).f32(float32(rate)).i64(count).each(count)
	}
	copyOf(a.P).renewed()
}

// prepare takes memory for a round of at most `all` matrices.
func (m *muon) prepare(all int) error {
	side, n := min(m.rows, m.cols), m.rows*m.cols
	bytes := 2 * (n + side*side) * m.dtype.Bytes()
	m.batch = max(1, min(all, muonBytes/bytes, 65535))
	pieces := []struct {
		p    *driver.Pointer
		size int
	}{{&m.x, n}, {&m.y, n}, {&m.s, side * side}, {&m.poly, side * side}}
	const aligned = 256
	round := func(bytes int) int { return (bytes + aligned - 1) / aligned * aligned }
	total := round(8 * m.batch * m.b.blocksOf(n))
	for _, piece := range pieces {
		total += round(m.batch * piece.size * m.dtype.Bytes())
	}
	at, err := m.b.products.spare(spareWork, total)
	if err != nil {
		return fmt.Errorf("memory of Muon: %w", err)
	}
	m.partial = at
	at += driver.Pointer(round(8 * m.batch * m.b.blocksOf(n)))
	for _, piece := range pieces {
		*piece.p = at
		at += driver.Pointer(round(m.batch * piece.size * m.dtype.Bytes()))
	}
	return nil
}

// direction moves the momentum, and leaves u / |u| in x.
func (m *muon) direction(a device.MuonArgs, g, momentum driver.Pointer) {
	n := m.rows * m.cols
	blocks := m.b.blocksOf(n)
	grid := driver.Grid{X: blocks, Y: m.batch, ThreadsX: threads}
	factor, scale := float32(a.Momentum), float32(cmp.Or(a.GradScale, 1))
	m.b.kernel("optimiser", "muon_momentum", single).pointer(momentum).pointer(g).pointer(m.partial).f32(factor).f32(scale).i64(n).launch(grid)
	m.b.kernel("optimiser", "muon_direction", m.dtype).pointer(m.x).pointer(momentum).pointer(g).pointer(m.partial).i32(blocks).f32(factor).f32(scale).
		i64(n).launch(grid)
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
