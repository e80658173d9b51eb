package kernel

// TransposeArgs writes Y (Cols x Rows) = X (Rows x Cols) transposed, for each of Batch tight matrices (0 means 1). Y must not overlap X.
type TransposeArgs struct {
	Batch, Rows, Cols int
	X, Y              []float32
	Accumulate        bool
}

// Transpose turns rows into columns.
func (e *Engine) Transpose(a TransposeArgs) {
	a.Batch = max(1, a.Batch)
	n := a.Rows * a.Cols
	need("Transpose", "X", a.X, a.Batch*n)
	need("Transpose", "Y", a.Y, a.Batch*n)
	const tile = 32
	perMatrix := (a.Rows + tile - 1) / tile
	e.parallel(a.Batch*perMatrix, func(i int) {
		x, y := a.X[i/perMatrix*n:], a.Y[i/perMatrix*n:]
		lo := i % perMatrix * tile
		hi := min(a.Rows, lo+tile)
		for c := range a.Cols {
			d := y[c*a.Rows : (c+1)*a.Rows]
			for r := lo; r < hi; r++ {
				if a.Accumulate {
					d[r] += x[r*a.Cols+c]
				} else {
					d[r] = x[r*a.Cols+c]
				}
			}
		}
	})
}

// CopyMatrixArgs writes, or accumulates, a Rows x Cols block of X into Y: both with leading dimensions, so that slices and concatenations of
// rows, columns or tokens are one call each.
type CopyMatrixArgs struct {
	Rows, Cols int
	X, Y       []float32
	LDX, LDY   int
	Accumulate bool
}

// CopyMatrix copies a block.
func (e *Engine) CopyMatrix(a CopyMatrixArgs) {
	a.LDX = needMatrix("CopyMatrix", "X", a.X, a.Rows, a.Cols, a.LDX)
	a.LDY = needMatrix("CopyMatrix", "Y", a.Y, a.Rows, a.Cols, a.LDY)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x, y := row(a.X, r, a.LDX, a.Cols), row(a.Y, r, a.LDY, a.Cols)
			if a.Accumulate {
				e.isa.add(y, y, x)
			} else {
				copy(y, x)
			}
		}
	})
}

// PatchifyArgs relates images X (B, Channels, Height, Width) and patches Y (B, Height/Patch * Width/Patch, Channels*Patch*Patch): the columns
// of a patch run channel by channel, each row by row, which is the layout of a convolution's weight (out, in, kh, kw) with stride = kernel.
type PatchifyArgs struct {
	B, Channels, Height, Width, Patch int
	X, Y                              []float32
}

// Patchify cuts images into patches: Y from X.
func (e *Engine) Patchify(a PatchifyArgs) {
	e.patches("Patchify", a, func(x, y []float32) { copy(y, x) })
}

// Unpatchify is the inverse and the gradient of Patchify: X from Y.
func (e *Engine) Unpatchify(a PatchifyArgs) {
	e.patches("Unpatchify", a, func(x, y []float32) { copy(x, y) })
}

// patches visits the matching runs of Patch elements of X and Y.
func (e *Engine) patches(name string, a PatchifyArgs, visit func(x, y []float32)) {
	p := a.Patch
	require(p > 0 && a.Height%p == 0 && a.Width%p == 0, "%s: %dx%d is not a multiple of patch %d", name, a.Height, a.Width, p)
	n := a.B * a.Channels * a.Height * a.Width
	need(name, "X", a.X, n)
	need(name, "Y", a.Y, n)
	gh, gw, c := a.Height/p, a.Width/p, a.Channels
	e.parallel(a.B*gh, func(i int) {
		b, gy := i/gh, i%gh
		for gx := range gw {
			at := (i*gw + gx) * c * p * p
			for ch := range c {
				for py := range p {
					o := ((b*c+ch)*a.Height+gy*p+py)*a.Width + gx*p
					visit(a.X[o:o+p], a.Y[at:at+p])
					at += p
				}
			}
		}
	})
}
