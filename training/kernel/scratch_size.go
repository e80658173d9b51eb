package kernel

// ScratchBytes estimates what the engine's scratch grows to: for each thread the packed panels of a product that fills a block, and as much again as
// a quarter of it for what other kernels lease.
func (e *Engine) ScratchBytes() int64 {
	b := e.isa.tile.block
	const wordBytes = 4
	return int64(e.threads) * int64(b.k*b.columns) * wordBytes * 5 / 4
}
