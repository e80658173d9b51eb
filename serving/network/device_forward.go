package network

import (
	"errors"
	"fmt"

	"tempera/serving/page"
	"tempera/training/device"
	"tempera/training/model"
)

// pass is one forward pass: the rows of all runs, and where its values lie on the device.
type pass struct {
	c    *DeviceCache
	b    device.Paged
	rows int
	most int // keys that a row sees
	errs []error

	x, h, qkv, hidden *device.Value // activations
	mean, rstd        *device.Value // (rows)
	tokens, positions *device.Value // int32 (rows)
	slots, sequence   *device.Value
	visible, table    *device.Value
	images, seen      *device.Value // tables of images and how much of them a row sees
	mostSeen          int

	asking       *device.Value // int32 (runs that ask): their rows; nil: none does
	asks, barred *device.Value // of device.PickArgs
	picked       *device.Value
}

// keyStep is what the number of keys that a pass looks at is rounded up to, so that the passes of many tokens are of one shape.
const keyStep = 256

// act makes scratch in the type of activations.
func (p *pass) act(name string, shape ...int) *device.Value {
	return p.buf(name, device.Desc{DType: device.ActivationsOf(p.b), Shape: shape})
}

func (p *pass) buf(name string, d device.Desc) *device.Value {
	v, err := p.c.buf(name, d)
	if err != nil {
		p.errs = append(p.errs, err)
		v = nil
	}
	return v
}

// Forward is Cache.Forward, which also chooses tokens where runs ask for it. The error is the device's; the cache holds nothing of use then.
func (c *DeviceCache) Forward(runs []Run) (out Output, err error) {
	p := &pass{c: c, b: c.net.backend}
	if err := p.place(runs); err != nil {
		return out, err
	}
	if err := c.repeat(p.step(runs), func() error { return p.work(runs) }); err != nil {
		return out, err
	}
	if out.States, err = p.states(runs); err != nil {
		return out, err
	}
	out.Picks, err = p.picks()
	for i := range runs {
		runs[i].Table.Tokens += len(runs[i].Tokens)
	}
	return out, err
}

// work asks for all that depends on what place has sent alone.
func (p *pass) work(runs []Run) error {
	p.embed(runs)
	for i := range p.c.net.layers {
		if len(p.errs) == 0 {
			p.layer(i)
		}
	}
	if len(p.errs) == 0 && p.asking != nil {
		p.pick()
	}
	return errors.Join(p.errs...)
}

// place lists what is known of the rows and sends it to the device, in one transfer.
func (p *pass) place(runs []Run) error {
	c := p.c
	var tokens, positions, slots, sequence, visible, seen []int32
	imagePages := 0
	for i := range runs {
		r := &runs[i]
		t, n := r.Table, len(r.Tokens)
		if t.Tokens+n > c.net.config.Text.Context {
			panic(fmt.Sprintf("network: %d tokens in a context of %d", t.Tokens+n, c.net.config.Text.Context))
		}
		slots = c.pool.Slots(slots, t, t.Tokens, t.Tokens+n)
		for k := range n {
			tokens, positions = append(tokens, max(r.Tokens[k], -1)), append(positions, int32(t.Tokens+k))
			sequence, visible = append(sequence, int32(i)), append(visible, int32(t.Tokens+k+1))
			if r.Image != nil {
				seen = append(seen, int32(r.Image.Tokens))
			}
		}
		p.most = max(p.most, t.Tokens+n)
		if r.Image != nil {
			p.mostSeen, imagePages = max(p.mostSeen, r.Image.Tokens), max(imagePages, len(r.Image.Pages))
		}
	}
	p.rows = len(tokens)
	p.most = (p.most + keyStep - 1) / keyStep * keyStep
	pages := c.pool.For(p.most)
	table, images := make([]int32, len(runs)*pages), make([]int32, len(runs)*imagePages)
	for i, r := range runs {
		copy(table[i*pages:], r.Table.Pages)
		if r.Image != nil {
			copy(images[i*imagePages:], r.Image.Pages)
		}
	}
	type part struct {
		to   **device.Value
		data []int32
		cols int
	}
	parts := []part{
		{&p.tokens, tokens, 0},
		{&p.positions, positions, 0},
		{&p.slots, slots, 0},
		{&p.sequence, sequence, 0},
		{&p.visible, visible, 0},
		{&p.seen, seen, 0},
		{&p.table, table, pages},
		{&p.images, images, imagePages},
	}
	asking, asks, hidden, most := askedBy(runs)
	if n := len(asking); n > 0 {
		parts = append(parts, part{&p.asking, asking, 0}, part{&p.asks, asks, askWords}, part{&p.barred, hidden, most})
		p.picked = p.buf("picked", device.Ints(n, pickWords))
	}
	all := c.ints[:0]
	for _, s := range parts {
		all = append(all, s.data...)
	}
	c.ints = all
	v := p.buf("ints", device.Ints(len(all)))
	if err := errors.Join(p.errs...); err != nil {
		return err
	}
	if err := p.b.UploadInts(v, all); err != nil {
		return err
	}
	at := 0
	for _, s := range parts {
		switch n := len(s.data); {
		case n == 0:
			continue
		case s.cols > 0:
			*s.to = device.NewValue(device.Ints(n/s.cols, s.cols), v.Buffer(), at)
		default:
			*s.to = device.NewValue(device.Ints(n), v.Buffer(), at)
		}
		at += len(s.data)
	}
	return nil
}

func (p *pass) embed(runs []Run) {
	net := p.c.net
	t := net.config.Text
	q, k := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	p.x, p.h, p.qkv = p.act("x", p.rows, t.Width), p.act("h", p.rows, max(t.Width, q)), p.act("qkv", p.rows, q+2*k)
	p.mean, p.rstd = p.buf("mean", device.Floats(p.rows)), p.buf("rstd", device.Floats(p.rows))
	if len(p.errs) > 0 {
		return
	}
	p.b.Gather(device.GatherArgs{TableRows: t.Vocab, Cols: t.Width, Table: net.token, Index: p.tokens, Y: p.x})
	p.embedGiven(runs)
	if net.position != nil && len(p.errs) == 0 {
		h := p.act("h", p.rows, t.Width)
		p.b.Gather(device.GatherArgs{TableRows: t.Context, Cols: t.Width, Table: net.position, Index: p.positions, Y: h})
		p.b.Add(p.x, p.x, h)
	}
}

// embedGiven writes the embeddings that stand for negative tokens into their rows of x.
func (p *pass) embedGiven(runs []Run) {
	width, row := p.c.net.config.Text.Width, 0
	for _, r := range runs {
		rest := r.Embeddings
		for k := 0; k < len(r.Tokens); {
			n := 0
			for k+n < len(r.Tokens) && r.Tokens[k+n] < 0 {
				n++
			}
			if n > 0 {
				given := p.act("given", n, width)
				if len(p.errs) > 0 {
					return
				}
				if err := p.b.UploadFloats(given, rest[:n*width]); err != nil {
					p.errs = append(p.errs, err)
					return
				}
				p.b.CopyBlock(device.CopyBlockArgs{Rows: n, Cols: width, X: given, Y: p.x, OffsetY: (row + k) * width})
				rest = rest[n*width:]
			}
			k += max(n, 1)
		}
		row += len(r.Tokens)
	}
}

// layer is Cache.layer.
func (p *pass) layer(i int) {
	l, t := &p.c.net.layers[i], p.c.net.config.Text
	q := t.Heads * t.HeadWidth
	h := p.act("h", p.rows, t.Width)
	p.normalize(l.causal, h, p.x, p.rows)
	p.multiply(l.qkv, device.GemmArgs{M: p.rows, A: h, C: p.qkv})
	attended := p.act("h", p.rows, q)
	p.selfAttention(i, attended)
	p.add(l.out, attended)
	if l.cross != nil {
		h = p.act("h", p.rows, t.Width)
		p.normalize(l.cross.norm, h, p.x, p.rows)
		query := p.act("query", p.rows, q)
		if len(p.errs) > 0 {
			return
		}
		p.multiply(l.cross.q, device.GemmArgs{M: p.rows, A: h, C: query})
		attended = p.act("h", p.rows, q)
		p.b.PagedAttention(device.PagedAttentionArgs{
			Pages: p.c.pages[i], Rows: p.rows, H: t.Heads, Q: query, O: attended, Table: p.images, Sequence: p.sequence, Visible: p.seen, MostKeys: p.mostSeen,
		})
		p.add(l.cross.out, attended)
	}
	h = p.act("h", p.rows, t.Width)
	p.normalize(l.mlp, h, p.x, p.rows)
	if l.experts != nil {
		p.mix(l, h)
		if l.up.weight == nil || len(p.errs) > 0 {
			return
		}
	}
	if t.MLP == model.Gated {
		p.gated(l.up, h)
	} else {
		p.hidden = p.act("hidden", p.rows, l.up.out)
		if len(p.errs) > 0 {
			return
		}
		p.multiply(l.up, device.GemmArgs{M: p.rows, A: h, C: p.hidden, Activation: activations[t.Activation]})
	}
	if len(p.errs) == 0 {
		p.add(l.down, p.hidden)
	}
}

// gated leaves silu(gate) up of h in hidden.
func (p *pass) gated(w deviceLinear, h *device.Value) {
	both := p.act("gates", p.rows, w.out)
	p.hidden = p.act("hidden", p.rows, w.out/2)
	if len(p.errs) > 0 {
		return
	}
	p.multiply(w, device.GemmArgs{M: p.rows, A: h, C: both})
	p.b.SwiGLU(device.SwiGLUArgs{Rows: p.rows, Cols: w.out / 2, Gate: both, Y: p.hidden})
}

// add is x += y W + b.
func (p *pass) add(w deviceLinear, y *device.Value) {
	p.multiply(w, device.GemmArgs{M: p.rows, A: y, C: p.x, Accumulate: true})
}

func (p *pass) multiply(w deviceLinear, a device.GemmArgs) {
	a.N, a.K, a.B, a.TransB, a.Bias = w.out, w.in, w.weight, w.transposed, w.bias
	p.b.Gemm(a)
}

func (p *pass) normalize(n deviceNorm, y, x *device.Value, rows int) {
	t := p.c.net.config.Text
	if t.Norm == model.RMSNorm {
		p.b.RMSNorm(device.RMSNormArgs{Rows: rows, Cols: t.Width, X: x, W: n.weight, Y: y, RStd: p.rstd, Eps: float32(t.NormEps)})
		return
	}
	p.b.LayerNorm(device.LayerNormArgs{Rows: rows, Cols: t.Width, X: x, W: n.weight, B: n.bias, Y: y, Mean: p.mean, RStd: p.rstd, Eps: float32(t.NormEps)})
}

// selfAttention stores the keys and values of qkv and attends to the sequences.
func (p *pass) selfAttention(i int, o *device.Value) {
	t := p.c.net.config.Text
	q, k := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	if rope := p.c.net.rope; rope != nil {
		ld := q + 2*k
		turned := device.Heads{Value: p.qkv, Batch: ld, Token: ld, Head: t.HeadWidth}
		p.b.RoPE(device.RoPEArgs{B: p.rows, T: 1, H: t.Heads + t.KVHeads, D: t.HeadWidth, X: turned, Y: turned, Table: rope, Index: p.positions})
	}
	p.b.PagedStore(device.PagedStoreArgs{Pages: p.c.pages[i], Rows: p.rows, KV: p.qkv, OffsetK: q, OffsetV: q + k, Slots: p.slots})
	p.b.PagedAttention(device.PagedAttentionArgs{
		Pages: p.c.pages[i], Rows: p.rows, H: t.Heads, Q: p.qkv, O: o, Table: p.table, Sequence: p.sequence, Visible: p.visible, MostKeys: p.most,
	})
}

// mix adds the answers of the experts to x.
func (p *pass) mix(l *deviceLayer, h *device.Value) {
	e, t := l.experts, p.c.net.config.Text
	x := t.Experts
	r := device.Routing{Tokens: p.rows, Active: x.Active, Experts: x.Count}
	logits, weights := p.buf("router", device.Floats(p.rows, x.Count)), p.buf("shares", device.Floats(p.rows, x.Active))
	r.Plan = p.buf("plan", device.Ints(r.PlanSize()))
	asked, both := p.act("asked", p.rows*x.Active, t.Width), p.act("gates", p.rows*x.Active, 2*x.Hidden)
	hidden := p.act("hidden", p.rows*x.Active, x.Hidden)
	if len(p.errs) > 0 {
		return
	}
	p.b.Gemm(device.GemmArgs{M: p.rows, N: x.Count, K: t.Width, A: h, B: e.router, C: logits})
	p.b.Route(device.RouteArgs{Routing: r, Logits: logits, Balance: e.balance})
	p.b.Gate(device.GateArgs{Routing: r, Scale: float32(x.Scale), Logits: logits, Weights: weights})
	p.b.Dispatch(device.DispatchArgs{Routing: r, Cols: t.Width, X: h, Y: asked})
	p.b.ExpertGemm(device.ExpertGemmArgs{Routing: r, N: 2 * x.Hidden, K: t.Width, A: asked, B: e.up, C: both})
	p.b.SwiGLU(device.SwiGLUArgs{Rows: p.rows * x.Active, Cols: x.Hidden, Gate: both, Y: hidden})
	p.b.ExpertGemm(device.ExpertGemmArgs{Routing: r, N: t.Width, K: x.Hidden, A: hidden, B: e.down, C: asked})
	p.b.Combine(device.CombineArgs{Routing: r, Cols: t.Width, X: asked, Weights: weights, Y: p.x, Accumulate: true})
}

// states picks the states that runs ask for, normalises them and brings them back.
func (p *pass) states(runs []Run) ([]float32, error) {
	w := p.c.net.config.Text.Width
	var index []int32
	row := 0
	for _, r := range runs {
		row += len(r.Tokens)
		for k := range r.States {
			index = append(index, int32(row-r.States+k))
		}
	}
	if len(index) == 0 {
		return nil, nil
	}
	at, picked := p.buf("states index", device.Ints(len(index))), p.act("states", len(index), w)
	p.mean, p.rstd = p.buf("mean", device.Floats(len(index))), p.buf("rstd", device.Floats(len(index)))
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	if err := p.b.UploadInts(at, index); err != nil {
		return nil, err
	}
	p.b.Gather(device.GatherArgs{TableRows: p.rows, Cols: w, Table: p.x, Index: at, Y: picked})
	p.normalize(p.c.net.final, picked, picked, len(index))
	return device.ReadFloats(p.b, picked)
}

// Logits is Cache.Logits.
func (c *DeviceCache) Logits(states []float32, n int) ([]float32, error) {
	p := &pass{c: c, b: c.net.backend, rows: n}
	t := c.net.config.Text
	x, logits := p.act("states", n, t.Width), p.buf("logits", device.Floats(n, t.Vocab))
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	if err := p.b.UploadFloats(x, states[:n*t.Width]); err != nil {
		return nil, err
	}
	p.multiply(c.net.head, device.GemmArgs{M: n, A: x, C: logits})
	return device.ReadFloats(p.b, logits)
}

// See is Cache.See.
func (c *DeviceCache) See(states []float32, t *page.Table) error {
	p := &pass{c: c, b: c.net.backend}
	config := c.net.config
	n, k := config.Vision.Tokens(), config.Text.KVHeads*config.Text.HeadWidth
	slots, x, kv := p.buf("ints", device.Ints(n)), p.act("given", n, config.Vision.Width), p.act("qkv", n, 2*k)
	if err := errors.Join(p.errs...); err != nil {
		return err
	}
	if err := errors.Join(p.b.UploadInts(slots, c.pool.Slots(nil, t, 0, n)), p.b.UploadFloats(x, states)); err != nil {
		return err
	}
	for i := range c.net.layers {
		p.multiply(c.net.layers[i].cross.kv, device.GemmArgs{M: n, A: x, C: kv})
		p.b.PagedStore(device.PagedStoreArgs{Pages: c.pages[i], Rows: n, KV: kv, OffsetV: k, Slots: slots})
	}
	t.Tokens = n
	return nil
}
