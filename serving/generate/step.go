package generate

import (
	"tempera/training/kernel"
	"tempera/training/model"
)

// normEps is package model's.
const normEps = 1e-5

// caches are the keys and values of a batch and the scratch of a step. A group is a request: width rows, which share its image.
type caches struct {
	d      *Decoder
	groups int         // capacity; width spare rows follow
	width  int         // rows of a group
	self   [][]float32 // by layer: (rows, context, 2 C), keys then values
	cross  [][]float32 // by layer: (groups, memory, 2 C)

	tokens, lengths           []int32
	x, h, qkv, hidden, logits []float32
	mean, rstd                []float32
}

func (d *Decoder) newCaches(groups, width int) *caches {
	t := d.config.Text
	rows := groups * width
	c := &caches{d: d, groups: groups, width: width, tokens: make([]int32, rows), lengths: make([]int32, rows)}
	for range t.Layers {
		c.self = append(c.self, make([]float32, (rows+width)*t.Context*2*t.Width))
		c.cross = append(c.cross, make([]float32, groups*d.memory*2*t.Width))
	}
	c.x, c.h, c.qkv = make([]float32, rows*t.Width), make([]float32, rows*t.Width), make([]float32, rows*3*t.Width)
	c.hidden, c.logits = make([]float32, rows*t.Hidden), make([]float32, rows*t.Vocab)
	c.mean, c.rstd = make([]float32, rows), make([]float32, rows)
	return c
}

// selfRow is the part of a layer's self cache that belongs to a row: (context, 2 C).
func (c *caches) selfRow(layer, row int) []float32 {
	n := c.d.config.Text.Context * 2 * c.d.config.Text.Width
	return c.self[layer][row*n : (row+1)*n]
}

func (c *caches) crossGroup(layer, group int) []float32 {
	n := c.d.memory * 2 * c.d.config.Text.Width
	return c.cross[layer][group*n : (group+1)*n]
}

// copyRow makes row dst's cache of n tokens that of row src.
func (c *caches) copyRow(dst, src, n int) {
	for l := range c.self {
		copy(c.selfRow(l, dst)[:n*2*c.d.config.Text.Width], c.selfRow(l, src))
	}
}

// reorder gives row i of a group the cache of n tokens that row from[i] had.
func (c *caches) reorder(group int, from []int, n int) {
	spare, first := c.groups*c.width, group*c.width
	for i, src := range from {
		if src != i {
			c.copyRow(spare+i, first+src, n)
		}
	}
	for i, src := range from {
		if src != i {
			c.copyRow(first+i, spare+i, n)
		}
	}
}

// moveGroup puts group src, whose texts are n tokens long, in the place of dst.
func (c *caches) moveGroup(dst, src, n int) {
	for i := range c.width {
		c.copyRow(dst*c.width+i, src*c.width+i, n)
	}
	for l := range c.cross {
		copy(c.crossGroup(l, dst), c.crossGroup(l, src))
	}
}

// see computes the keys and values of an image for all layers.
func (c *caches) see(group int, image []float32) {
	for l, b := range c.d.blocks {
		c.apply(b.kv, c.crossGroup(l, group), image, c.d.memory, kernel.Epilogue{})
	}
}

// apply is y = x W + b with an epilogue over rows.
func (c *caches) apply(w linear, y, x []float32, rows int, ep kernel.Epilogue) {
	ep.Bias = w.bias
	c.d.engine.Gemm(kernel.GemmArgs{M: rows, N: w.out, K: w.in, A: x, Packed: w.weight, C: y, Epilogue: ep})
}

func (c *caches) normalize(n norm, y, x []float32, rows int) {
	c.d.engine.LayerNorm(kernel.LayerNormArgs{Rows: rows, Cols: c.d.config.Text.Width, X: x, W: n.weight, B: n.bias, Y: y, Mean: c.mean, RStd: c.rstd, Eps: normEps})
}

// step feeds one token to each row of the first groups and leaves the logits of the next. tokens holds the tokens, lengths how many are in
// the caches, this one included.
func (c *caches) step(groups int) {
	t := c.d.config.Text
	rows := groups * c.width
	w := t.Width
	e := c.d.engine
	for r, id := range c.tokens[:rows] {
		x := c.x[r*w : (r+1)*w]
		pos := int(c.lengths[r]) - 1
		for i := range x {
			x[i] = c.d.token[int(id)*w+i] + c.d.position[pos*w+i]
		}
	}
	for l, b := range c.d.blocks {
		c.normalize(b.causal, c.h, c.x, rows)
		c.apply(b.qkv, c.qkv, c.h, rows, kernel.Epilogue{})
		c.selfAttention(l, rows)
		c.residual(b.out, c.h, rows)
		if c.d.memory > 0 {
			c.normalize(b.cross, c.h, c.x, rows)
			c.apply(b.q, c.qkv, c.h, rows, kernel.Epilogue{})
			c.crossAttention(l, groups)
			c.residual(b.crossOut, c.h, rows)
		}
		c.normalize(b.mlp, c.h, c.x, rows)
		c.apply(b.up, c.hidden, c.h, rows, kernel.Epilogue{Activation: c.d.activation()})
		c.residual(b.down, c.hidden, rows)
	}
	c.normalize(c.d.final, c.h, c.x, rows)
	c.apply(c.d.head, c.logits, c.h, rows, kernel.Epilogue{})
	e.Softmax(kernel.SoftmaxArgs{Rows: rows, Cols: t.Vocab, X: c.logits, Y: c.logits, Log: true})
}

func (d *Decoder) activation() kernel.Activation {
	if d.config.Activation == model.GELUTanh {
		return kernel.GELUTanh
	}
	return kernel.GELUErf
}

// residual is x += y W + b.
func (c *caches) residual(w linear, y []float32, rows int) {
	c.d.engine.Gemm(kernel.GemmArgs{M: rows, N: w.out, K: w.in, A: y, Packed: w.weight, C: c.x, Accumulate: true, Epilogue: kernel.Epilogue{Bias: w.bias}})
}

// selfAttention appends keys and values of qkv to the caches and attends to them: the result is in h.
func (c *caches) selfAttention(layer, rows int) {
	t := c.d.config.Text
	w := t.Width
	for r := range rows {
		at := (int(c.lengths[r]) - 1) * 2 * w
		copy(c.selfRow(layer, r)[at:at+2*w], c.qkv[r*3*w+w:(r+1)*3*w])
	}
	d := w / t.Heads
	kv := kernel.PackedShape{T: t.Context, Parts: 2, H: t.Heads, D: d}
	c.d.engine.Attention(kernel.AttentionArgs{
		B: rows, T: 1, S: t.Context, H: t.Heads, D: d, KeyLengths: c.lengths[:rows],
		Q: kernel.PackedView(c.qkv, kernel.PackedShape{T: 1, Parts: 3, H: t.Heads, D: d}, 0),
		K: kernel.PackedView(c.self[layer], kv, 0), V: kernel.PackedView(c.self[layer], kv, 1), O: kernel.TightView(c.h, 1, t.Heads, d),
	})
}

// crossAttention lets the rows of each group, queries in qkv, attend to its image: the result is in h.
func (c *caches) crossAttention(layer, groups int) {
	t := c.d.config.Text
	d := t.Width / t.Heads
	kv := kernel.PackedShape{T: c.d.memory, Parts: 2, H: t.Heads, D: d}
	c.d.engine.Attention(kernel.AttentionArgs{
		B: groups, T: c.width, S: c.d.memory, H: t.Heads, D: d,
		Q: kernel.TightView(c.qkv, c.width, t.Heads, d), K: kernel.PackedView(c.cross[layer], kv, 0), V: kernel.PackedView(c.cross[layer], kv, 1),
		O: kernel.TightView(c.h, c.width, t.Heads, d),
	})
}
