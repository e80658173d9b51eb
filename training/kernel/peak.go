package kernel

import "time"

// peakSteps is the length of the products of TileRate: operands of this length stay in the first-level cache.
const peakSteps = 256

// TileRate measures the rate, in FLOP/s, at which all threads together run the level's largest tile on operands in their first-level caches:
// what products come close to, but do not exceed. It is the best of some tries, each of about a millisecond on one core.
func (e *Engine) TileRate(tries int) float64 {
	t := &e.isa.tile
	const repeats = 150
	type operands struct {
		a, b, c []float32
		tile    tileArgs
	}
	threads := make([]operands, e.threads)
	for i := range threads {
		o := &threads[i]
		o.a, o.b, o.c = make([]float32, t.mr*peakSteps), make([]float32, t.nr*peakSteps), make([]float32, t.mr*t.nr)
		o.tile = tileArgs{k: peakSteps, count: 1, a: &o.a[0], rs: 1, cs: t.mr, b: &o.b[0], c: &o.c[0], ldc: t.nr, mask: ^uint64(0) >> (64 - t.nr)}
	}
	best := time.Duration(0)
	for range max(1, tries) {
		start := time.Now()
		e.parallel(e.threads, func(i int) {
			for range repeats {
				threads[i].tile.run(t.tiles[onePanel][t.mr])
			}
		})
		if d := time.Since(start); best == 0 || d < best {
			best = d
		}
	}
	return 2 * float64(e.threads*repeats*t.mr*t.nr*peakSteps) / best.Seconds()
}
