package kernel

// isa is the table of a level's primitives. Lengths come from the first slice; the others are at least as long. Destinations may alias
// sources of the same index.
type isa struct {
	tile tiler

	sum   func(x []float32) float32
	max   func(x []float32) float32
	dot   func(x, y []float32) float32
	sqDev func(x []float32, mean float32) float32 // sum (x-mean)^2

	add   func(dst, a, b []float32)
	mul   func(dst, a, b []float32)
	axpy  func(dst, x []float32, a float32) // dst += a x
	scale func(dst, x []float32, a float32) // dst = a x
	// combine adds combineRows rows of b, ld apart, each times its x: a chain of multiply-adds like a tile's.
	combine func(dst, b []float32, ld int, x []float32)
	affine  func(dst, x []float32, a, b float32) // dst = a x + b
	lerp    func(dst, x []float32, keep float32) // dst = keep dst + (1-keep) x

	expSum func(dst, x []float32, scale, sub float32) float32 // dst = exp(scale x - sub); returns its sum
	// softmaxRow takes scores x: x = 2^(scale x - newTop) where newTop is the largest of scale x and top; sum is that of x.
	softmaxRow func(x []float32, scale, top float32) (newTop, sum float32)
	// softmaxGradRow takes scores x and dp: x = 2^(scale x - lse), dp = gradScale x (dp - delta).
	softmaxGradRow func(dp, x []float32, scale, lse, gradScale, delta float32)
	softmaxGrad    func(dst, dp, p []float32, dot, scale float32)                // dst = scale p (dp - dot)
	normApply      func(dst, x, w, b []float32, mean, rstd float32)              // dst = (x-mean) rstd w + b
	normParams     func(dw, db, dy, x []float32, mean, rstd float32)             // dw += dy xhat, db += dy
	normSums       func(dy, x, w []float32, mean, rstd float32) (s1, s2 float32) // sums of dy w and of dy w xhat
	normGrad       func(dst, dy, x, w []float32, mean, rstd, m1, m2 float32)     // dst = rstd (dy w - m1 - xhat m2)

	activate     [activations]func(dst, x []float32)
	activateGrad [activations]func(dst, x, dy []float32) // dst = dy f'(x)
	swiglu       func(dst, gate, up []float32)
	swigluGrad   func(dgate, dup, gate, up, dy []float32)

	// rotate turns heads heads, strides apart, whose first len(cos) elements pair with the next: (y, y') = (x cos - x' turn sin, x' cos + x turn sin).
	rotate func(y, x, cos, sin []float32, heads, strideY, strideX int, turn float32)

	adamw func(p, g, m, v []float32, c *adamwConsts)
	sumSq func(x []float32) float64
}

// adamwConsts are the scalars of one AdamW step, by the indices below: the gradient is scaled first, lr is divided by 1-beta1^t, and
// adamwInvBias2 is 1/sqrt(1-beta2^t).
type adamwConsts = [9]float32

const (
	adamwGradScale = iota
	adamwB1
	adamwC1
	adamwB2
	adamwC2
	adamwLR
	adamwInvBias2
	adamwEps
	adamwKeep
)
