package network

import (
	"fmt"

	"tempera/serving/page"
	"tempera/training/kernel"
	"tempera/training/model"
)

// Run is tokens of one sequence that pass through the network together. They follow the Table's tokens, and room for them is reserved.
type Run struct {
	Tokens []int32 // ids; a negative one is an embedding
	// Embeddings are the rows, of the model's width, that stand for the negative tokens, in order.
	Embeddings []float32
	Table      *page.Table
	Image      *page.Table // the image that the sequence attends to; nil where the model has no such attention
	States     int         // of how many of the last tokens the states are wanted
	Ask        *Ask        // how the next token is chosen, by a DeviceCache; nil: it is not
}

// Forward runs tokens through the network, appends their keys and values to the cache, advances the tables, and returns the wanted states, of
// the model's width each, in the order of runs and tokens; they hold until the next call. The state of a token has the same bits whatever
// else passes in the call, and whether the tokens before it passed in one run or in many.
func (c *Cache) Forward(runs []Run) []float32 {
	rows := c.place(runs)
	c.embed(runs, rows)
	for i := range c.net.layers {
		c.layer(i, runs, rows)
	}
	states := c.wanted(runs)
	for i := range runs {
		runs[i].Table.Tokens += len(runs[i].Tokens)
	}
	return states
}

// place lists the positions and slots of all rows.
func (c *Cache) place(runs []Run) (rows int) {
	c.positions, c.slots = c.positions[:0], c.slots[:0]
	for i := range runs {
		t, n := runs[i].Table, len(runs[i].Tokens)
		if t.Tokens+n > c.net.Config.Text.Context {
			panic(fmt.Sprintf("network: %d tokens in a context of %d", t.Tokens+n, c.net.Config.Text.Context))
		}
		c.slots = c.Pool.Slots(c.slots, t, t.Tokens, t.Tokens+n)
		for k := range n {
			c.positions = append(c.positions, int32(t.Tokens+k))
		}
	}
	return len(c.slots)
}

func (c *Cache) embed(runs []Run, rows int) {
	t := c.net.Config.Text
	q, k := c.net.heads()
	c.buf(&c.x, rows*t.Width)
	c.buf(&c.h, rows*max(t.Width, q))
	c.buf(&c.qkv, rows*(q+2*k))
	c.buf(&c.mean, rows)
	c.buf(&c.rstd, rows)
	r := 0
	for i := range runs {
		rest := runs[i].Embeddings
		for _, id := range runs[i].Tokens {
			x := c.x[r*t.Width : (r+1)*t.Width]
			if id < 0 {
				rest = rest[copy(x, rest[:t.Width]):]
			} else {
				copy(x, c.net.token[int(id)*t.Width:])
			}
			if c.net.position != nil {
				p := c.net.position[int(c.positions[r])*t.Width:]
				for j := range x {
					x[j] += p[j]
				}
			}
			r++
		}
	}
}

// layer is x += out(attention(norm x)), the same with cross-attention where there is an image, and x += mlp(norm x).
func (c *Cache) layer(i int, runs []Run, rows int) {
	l := &c.net.layers[i]
	c.normalize(l.causal, c.h, c.x, rows)
	c.apply(l.qkv, c.qkv, c.h, rows)
	c.selfAttention(i, runs, rows)
	c.add(l.out, c.h, rows)
	if l.cross != nil {
		c.normalize(l.cross.norm, c.h, c.x, rows)
		c.apply(l.cross.q, c.qkv, c.h, rows)
		c.crossAttention(i, runs)
		c.add(l.cross.out, c.h, rows)
	}
	c.normalize(l.mlp, c.h, c.x, rows)
	if l.experts != nil {
		c.mix(l, rows)
		if l.up.weight == nil {
			return
		}
	}
	if c.net.Config.Text.MLP == model.Gated {
		c.gated(l.up, c.h, rows)
	} else {
		c.buf(&c.hidden, rows*l.up.out)
		c.multiply(l.up, kernel.GemmArgs{M: rows, A: c.h, C: c.hidden, Epilogue: kernel.Epilogue{Activation: activations[c.net.Config.Text.Activation]}})
	}
	c.add(l.down, c.hidden, rows)
}

// gated leaves silu(gate) up of x in hidden.
func (c *Cache) gated(w linear, x []float32, rows int) {
	hidden := c.buf(&c.hidden, rows*w.out/2)
	c.multiply(w, kernel.GemmArgs{M: rows, A: x, C: hidden, Epilogue: kernel.Epilogue{Gated: true}})
}

// apply is y = x W + b.
func (c *Cache) apply(w linear, y, x []float32, rows int) {
	c.multiply(w, kernel.GemmArgs{M: rows, A: x, C: y})
}

// add is x += y W + b.
func (c *Cache) add(w linear, y []float32, rows int) {
	c.multiply(w, kernel.GemmArgs{M: rows, A: y, C: c.x, Accumulate: true})
}

func (c *Cache) multiply(w linear, a kernel.GemmArgs) {
	a.N, a.K, a.Packed, a.Epilogue.Bias = w.out, w.in, w.weight, w.bias
	c.net.engine.Gemm(a)
}

func (c *Cache) normalize(n norm, y, x []float32, rows int) {
	t := c.net.Config.Text
	if t.Norm == model.RMSNorm {
		c.net.engine.RMSNorm(kernel.RMSNormArgs{Rows: rows, Cols: t.Width, X: x, W: n.weight, Y: y, RStd: c.rstd, Eps: float32(t.NormEps)})
		return
	}
	c.net.engine.LayerNorm(kernel.LayerNormArgs{Rows: rows, Cols: t.Width, X: x, W: n.weight, B: n.bias, Y: y, Mean: c.mean, RStd: c.rstd, Eps: float32(t.NormEps)})
}

// selfAttention stores the keys and values of qkv and attends to the sequences: the result is in h.
func (c *Cache) selfAttention(i int, runs []Run, rows int) {
	t := c.net.Config.Text
	q, k := c.net.heads()
	ld := q + 2*k
	if c.net.rope != nil {
		turned := kernel.View{Data: c.qkv, Batch: ld, Token: ld, Head: t.HeadWidth}
		c.net.engine.RoPE(kernel.RoPEArgs{B: rows, T: 1, H: t.Heads + t.KVHeads, D: t.HeadWidth, X: turned, Y: turned, Table: c.net.rope, Index: c.positions})
	}
	c.net.engine.PagedStore(kernel.PagedStoreArgs{Cache: c.layers[i], Rows: rows, K: c.qkv[q:], V: c.qkv[q+k:], LDK: ld, LDV: ld, Slots: c.slots})
	c.runs = c.runs[:0]
	row := 0
	for _, r := range runs {
		n := len(r.Tokens)
		c.runs = append(c.runs, kernel.PagedRun{Row: row, Rows: n, Pages: r.Table.Pages, Keys: r.Table.Tokens + n, Causal: true})
		row += n
	}
	c.net.engine.PagedAttention(kernel.PagedAttentionArgs{Cache: c.layers[i], H: t.Heads, Q: c.qkv, LDQ: ld, O: c.h, Runs: c.runs})
}

// crossAttention lets the queries in qkv attend to their images: the result is in h.
func (c *Cache) crossAttention(i int, runs []Run) {
	c.runs = c.runs[:0]
	row := 0
	for _, r := range runs {
		c.runs = append(c.runs, kernel.PagedRun{Row: row, Rows: len(r.Tokens), Pages: r.Image.Pages, Keys: r.Image.Tokens})
		row += len(r.Tokens)
	}
	c.net.engine.PagedAttention(kernel.PagedAttentionArgs{Cache: c.layers[i], H: c.net.Config.Text.Heads, Q: c.qkv, O: c.h, Runs: c.runs})
}

// wanted picks the states that runs ask for and normalises them.
func (c *Cache) wanted(runs []Run) []float32 {
	w := c.net.Config.Text.Width
	n := 0
	for _, r := range runs {
		n += r.States
	}
	states := c.buf(&c.states, n*w)
	row, at := 0, 0
	for _, r := range runs {
		row += len(r.Tokens)
		at += copy(states[at:], c.x[(row-r.States)*w:row*w])
	}
	c.normalize(c.net.final, states, states, n)
	return states
}

// Logits is the language head over n states, (n, V). The result holds until the next call.
func (c *Cache) Logits(states []float32, n int) []float32 {
	logits := c.buf(&c.logits, n*c.net.Config.Text.Vocab)
	c.apply(c.net.head, logits, states, n)
	return logits
}

// See computes the keys and values of an image, whose states are (ImageTokens, width of the image), in a table that holds nothing and has room
// for them.
func (c *Cache) See(states []float32, t *page.Table) {
	n := ImageTokens(c.net.Config)
	_, k := c.net.heads()
	c.slots = c.Pool.Slots(c.slots[:0], t, 0, n)
	kv := c.buf(&c.qkv, n*2*k)
	for i := range c.net.layers {
		c.apply(c.net.layers[i].cross.kv, kv, states, n)
		c.net.engine.PagedStore(kernel.PagedStoreArgs{Cache: c.layers[i], Rows: n, K: kv, V: kv[k:], LDK: 2 * k, LDV: 2 * k, Slots: c.slots})
	}
	t.Tokens = n
}
